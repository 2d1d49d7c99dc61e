"""Features of images, by networks that are chosen by name.

    auto      the classifier of the records if there is one, otherwise random
    mnist     a classifier of MNIST's ten digits, which comes with this package
    records   the classifier that was trained on the records, with probabilities of their classes
    inception the network of the Frechet Inception Distance, fetched once: figures as in papers
    random    a network of fixed random weights, for images of any shape
    PATH      your own: a .keras file or the folder of a SavedModel, such as an Inception network

Numbers taken with different networks cannot be compared, so an extractor's name, which goes into
the names of the measures, holds a hash of its weights.
"""

import dataclasses
import difflib
import hashlib
import shlex
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.errors import UserError
from trainer.evaluation.classifier import FILE_NAME, Classifier
from trainer.evaluation.custom_model import Network, is_custom_model, load_custom_model
from trainer.evaluation.inception import inception

NAMES = ("auto", "mnist", "records", "inception", "random")

_MNIST = Path(__file__).with_name("weights") / "mnist.npz"
_BLOCK_IMAGES_AT_MOST = 64  # as many as are sampled at once, so that none are filled up
_BLOCK_PIXELS_AT_MOST = 2**21  # 8 images of 512x512
_UNTRAINED = "random"
_RANDOM_SEED = 0
_RANDOM_KERNEL_SIZE = 5
_RANDOM_FILTERS = (32, 64, 64)


@dataclasses.dataclass(frozen=True)
class Features:
    """What a network says of N images.

    Attributes:
        values: float64 [N, D].
        probabilities: float64 [N, K], rows that sum to 1; None where it is no classifier.
    """

    values: np.ndarray
    probabilities: np.ndarray | None


class Extractor:
    """A network from images to features.

    It works in blocks of one size, the last one filled up with zeros: the bits of a convolution
    may depend on the size of its batch, and the features of an image must not depend on how
    many come with it.

    Attributes:
        name: the network, the number of features and a hash of the weights: `mnist64_1a2b3c4d`.
        feature_size: D.
        num_classes: K; 0 where it is no classifier.
        image_shape: H, W, C of the images.
        is_trained: whether its weights were learned; those of `random` were not.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], stem: str, content_hash: str, network: Network
    ) -> None:
        """Compiles the network, and computes one block to see what comes out.

        `image_shape` is H, W, C; the name begins with `stem` and ends with `content_hash`.
        """
        height, width, _ = image_shape
        block_images = max(1, _BLOCK_PIXELS_AT_MOST // (height * width))
        self._block_shape = (min(block_images, _BLOCK_IMAGES_AT_MOST), *image_shape)
        signature = [tf.TensorSpec(self._block_shape, tf.uint8)]
        self._network = tf.function(network, input_signature=signature, autograph=False)
        outputs = self._network(tf.zeros(self._block_shape, tf.uint8))
        self.feature_size = int(outputs[0].shape[1])
        self.num_classes = int(outputs[1].shape[1]) if len(outputs) == 2 else 0
        self.name = f"{stem}{self.feature_size}_{content_hash}"
        self.image_shape = image_shape
        self.is_trained = stem != _UNTRAINED

    def __call__(self, images: np.ndarray) -> Features:
        """The features of uint8 images [N, H, W, C]; N may be 0."""
        block_images, *image_shape = self._block_shape
        assert images.dtype == np.uint8 and list(images.shape[1:]) == image_shape, images.shape
        values = np.zeros([len(images), self.feature_size])
        logits = np.zeros([len(images), self.num_classes])
        for start in range(0, len(images), block_images):
            block = np.zeros(self._block_shape, np.uint8)
            given = images[start : start + block_images]
            block[: len(given)] = given
            for output, results in zip((values, logits), self._network(block), strict=False):
                output[start : start + len(given)] = results.numpy()[: len(given)]
        return Features(values, _softmax(logits) if self.num_classes else None)


def load_extractor(name: str, records_dir: str, image_shape: tuple[int, int, int]) -> Extractor:
    """The extractor of a name in the module's docstring, for images of the shape H, W, C.

    Raises:
        UserError: an unknown name, a file that is missing or damaged, or a network for images
            of another shape.
    """
    classifier_path = tf.io.gfile.join(records_dir, FILE_NAME)
    if name == "auto":
        name = "records" if tf.io.gfile.exists(classifier_path) else "random"
    if name == _UNTRAINED:
        return Extractor(image_shape, _UNTRAINED, *_random_network(image_shape[2]))
    if name == "inception":
        return Extractor(image_shape, name, *inception())
    if name == "mnist":
        mend = "set --config.evaluation.extractor to records, random or a model of your own."
        return _of_classifier(name, str(_MNIST), image_shape, mend)
    folder = shlex.quote(records_dir)
    train = f"python -m trainer.evaluation.train_classifier --records_dir={folder}"
    if name == "records":
        if not tf.io.gfile.exists(classifier_path):
            raise UserError(
                f"the extractor records needs {classifier_path}, which is not there: make it "
                f"with {train}."
            )
        return _of_classifier(name, classifier_path, image_shape, f"make it again with {train}.")
    if is_custom_model(name):
        return Extractor(image_shape, *load_custom_model(name, image_shape))
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise UserError(
        f"there is no extractor {name!r} and no model of that path: set "
        f"--config.evaluation.extractor to {', '.join(NAMES)}, a .keras file or the folder of a "
        f"SavedModel{hint}"
    )


def _of_classifier(name: str, path: str, image_shape: tuple[int, int, int], mend: str) -> Extractor:
    classifier = Classifier.load(path)
    if classifier.image_shape != image_shape:
        raise UserError(
            f"the extractor {name} takes images of {'x'.join(map(str, classifier.image_shape))} "
            f"and these are {'x'.join(map(str, image_shape))}: {mend}"
        )
    network = classifier.network()
    return Extractor(
        image_shape,
        name,
        classifier.content_hash,
        lambda images: tuple(network(images, training=False)),
    )


def _random_network(channels: int) -> tuple[str, Network]:
    """Three convolutions of stride 2 with ReLU, then means and maxima of the 64 channels.

    Kernels are uniform within the bound of He et al. 2015, "Delving Deep into Rectifiers",
    equation 10, which keeps the variance from layer to layer. They are made from PCG64's own
    integers: numpy may change how it draws floats, but not those.

    Returns:
        The hash of the kernels, and the network: 128 features.
    """
    bits = np.random.PCG64(_RANDOM_SEED)
    kernels = []
    for inputs, filters in zip((channels, *_RANDOM_FILTERS), _RANDOM_FILTERS, strict=False):
        shape = (_RANDOM_KERNEL_SIZE, _RANDOM_KERNEL_SIZE, inputs, filters)
        uniform = (bits.random_raw(int(np.prod(shape))) >> np.uint64(11)) * 2.0**-53
        bound = np.sqrt(6.0 / (_RANDOM_KERNEL_SIZE**2 * inputs))
        kernels.append((bound * (2.0 * uniform - 1.0)).astype("<f4").reshape(shape))

    def network(images: tf.Tensor) -> tuple[tf.Tensor]:
        x = tf.cast(images, tf.float32) / 127.5 - 1.0
        for kernel in kernels:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, strides=2, padding="SAME"))
        return (tf.concat([tf.reduce_mean(x, [1, 2]), tf.reduce_max(x, [1, 2])], axis=1),)

    digest = hashlib.sha256(b"".join(kernel.tobytes() for kernel in kernels))
    return digest.hexdigest()[:8], network


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
