"""A small convolutional classifier, whose last hidden layer gives features of images.

Two convolutions of 5x5 and stride 2 with 32 and 64 filters, a dense layer of 64 (the
features) and one of K logits; ReLU after the first three. Weights are float16 and kept in
one .npz without pickled objects; all arithmetic is float32.
"""

import dataclasses
import hashlib
import io
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import UserError
from trainer.storage.bucket_errors import reason
from trainer.storage.disk import naming_the_disk
from trainer.storage.files import write_bytes
from trainer.storage.npz import DAMAGED_NPZ

FEATURE_SIZE = 64
FILE_NAME = "classifier.npz"  # in a folder of records
SCHEMA_VERSION = 1

_KERNEL_SIZE = 5
_FILTERS = (32, 64)
_DROPOUT = 0.25
_NAMES = (
    *("convolution_1_kernel", "convolution_1_bias", "convolution_2_kernel", "convolution_2_bias"),
    *("features_kernel", "features_bias", "logits_kernel", "logits_bias"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """Trained weights, and what is needed to build their network again.

    Attributes:
        image_shape: H, W, C of the images it takes.
        num_classes: K.
        weights: float16; kernels and biases from the first layer to the last.
    """

    image_shape: tuple[int, int, int]
    num_classes: int
    weights: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, network: keras.Model) -> Self:
        """The weights of a network of `build_network`, rounded to float16."""
        return cls(
            network.input_shape[1:],
            network.output_shape[1][1],
            tuple(weight.astype("<f2") for weight in network.get_weights()),
        )

    @classmethod
    def load(cls, path: str) -> Self:
        """Reads what `save` wrote.

        Raises:
            UserError: the file cannot be read, is damaged or of a newer version.
            DiskError: the disk refuses.
        """
        try:
            with naming_the_disk(), tf.io.gfile.GFile(path, "rb") as file:
                content = file.read()
        except tf.errors.OpError as error:
            raise UserError(f"{path} cannot be read ({reason(error)}): check the path.") from error
        try:
            arrays = dict(np.load(io.BytesIO(content), allow_pickle=False))
            version = int(arrays["schema_version"])
            if version > SCHEMA_VERSION:
                raise UserError(
                    f"{path} has schema version {version} and this program reads "
                    f"{SCHEMA_VERSION}: update the program, or train the classifier again."
                )
            height, width, channels = (int(size) for size in arrays["image_shape"])
            loaded = cls(
                (height, width, channels),
                int(arrays["num_classes"]),
                tuple(arrays[name] for name in _NAMES),
            )
        # A UserError is a ValueError, but not one of a damaged file.
        except UserError:
            raise
        except DAMAGED_NPZ as error:
            raise UserError(
                f"{path} is no classifier, or damaged ({type(error).__name__}: {error}): "
                "train it again with python -m trainer.evaluation.train_classifier."
            ) from error
        loaded._check_weights(path)
        return loaded

    def save(self, path: str) -> None:
        """Writes the weights as one .npz, local or gs://.

        Raises:
            tf.errors.OpError: the file cannot be written.
        """
        arrays: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            **dict(zip(_NAMES, self.weights, strict=True)),
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_bytes(path, buffer.getvalue())

    @property
    def content_hash(self) -> str:
        """The first 8 hexadecimal digits of the sha256 of the weights, in their order.

        Not of the file, whose bytes depend on the version of zlib.
        """
        return hashlib.sha256(b"".join(weight.tobytes() for weight in self.weights)).hexdigest()[:8]

    def network(self) -> keras.Model:
        """The network with these weights, see `build_network`."""
        network = build_network(self.image_shape, self.num_classes, seed=0)
        network.set_weights([weight.astype(np.float32) for weight in self.weights])
        return network

    def _check_weights(self, path: str) -> None:
        built = build_network(self.image_shape, self.num_classes, seed=0).weights
        for name, weight, wanted in zip(_NAMES, self.weights, built, strict=True):
            if weight.dtype != "<f2" or weight.shape != wanted.shape:
                raise UserError(
                    f"{path} has {name} of {weight.dtype} {list(weight.shape)}, not float16 "
                    f"{list(wanted.shape)}: train it again with "
                    "python -m trainer.evaluation.train_classifier."
                )


def build_network(image_shape: tuple[int, int, int], num_classes: int, seed: int) -> keras.Model:
    """The network before training; the seed decides the initial weights and the dropout.

    Returns:
        A model from images, uint8 [N, H, W, C], to features, float32 [N, 64], at least 0, and
        logits, float32 [N, K]. It scales the images to [-1, 1] itself.
    """

    def convolution(filters: int, layer_seed: int) -> keras.Layer:
        return keras.layers.Conv2D(
            *(filters, _KERNEL_SIZE),
            strides=2,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(layer_seed),
        )

    def dense(units: int, activation: str | None, layer_seed: int) -> keras.Layer:
        initializer = keras.initializers.HeNormal(layer_seed)
        return keras.layers.Dense(units, activation, kernel_initializer=initializer)

    seeds = (int(s) for s in np.random.SeedSequence(seed).generate_state(6) % 2**31)
    images = keras.Input(image_shape, dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    for filters in _FILTERS:
        x = convolution(filters, next(seeds))(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(_DROPOUT, seed=next(seeds))(x)
    features = dense(FEATURE_SIZE, "relu", next(seeds))(x)
    x = keras.layers.Dropout(_DROPOUT, seed=next(seeds))(features)
    return keras.Model(images, [features, dense(num_classes, None, next(seeds))(x)])
