"""Trains the classifier that a set's images are measured with."""

import os
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from trainer.data import pipeline, sources, tfrecord
from trainer.data.tfrecord import Manifest
from trainer.errors import UserError, some_of
from trainer.evaluation.classifier import Classifier, build_network
from trainer.storage.files import naming_the_output, temporary_name

_BATCH_IMAGES = 64
_LEARNING_RATE = 1e-3
_HELD_OUT_EVERY = 10  # images, where there is no test set
_SHIFT_PIXELS = 2
_TEST_BATCH_IMAGES = 1000

Labelled = tuple[np.ndarray, np.ndarray]  # images, uint8 [N, H, W, C], and labels, int32 [N]


def train_classifier(
    records_dir: str, output: str, epochs: int = 20, seed: int = 0, test_source: str = ""
) -> float:
    """Trains a classifier on prepared records, which need labels, and writes its weights as .npz.

    Images are shifted by up to 2 pixels at random, the border repeated. Adam, its learning
    rate falling from 0.001 to 0 along half a cosine. The same seed gives the same
    weights on the same machine.

    Args:
        records_dir, output, epochs, seed: the flags of these names.
        test_source: see `sources.open_source`; accuracy is measured on its images. Empty: on
            every 10th image of the records, which is then not trained on.

    Returns:
        The accuracy of the written weights, in [0, 1].

    Raises:
        UserError: records without labels, too few or damaged; a test source that cannot be
            read or has other classes; an output that cannot be written.
    """
    manifest = tfrecord.read_manifest(records_dir)
    if not manifest.class_names:
        raise UserError(
            f"{records_dir} holds images without labels, which a classifier needs: prepare the "
            "set with labels, or evaluate with features that need no training, such as random."
        )
    _check_writable(output)
    train, test = _split(records_dir, manifest, test_source)
    network = build_network(manifest.image_shape, len(manifest.class_names), seed)
    for epoch, loss in enumerate(_epochs(network, train, epochs, seed), start=1):
        print(
            f"epoch {epoch}/{epochs}  loss {loss:.4f}  accuracy {accuracy(network, *test):.4f}",
            flush=True,
        )
    classifier = Classifier.of(network)
    classifier.save(output)
    found = accuracy(classifier.network(), *test)
    print(
        f"{output}: accuracy {found:.4f} on {len(test[0])} images of "
        f"{test_source or records_dir}, hash {classifier.content_hash}"
    )
    return found


def accuracy(network: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images, uint8 [N, H, W, C], whose largest logit is their label's, in [0, 1]."""
    blocks = (slice(i, i + _TEST_BATCH_IMAGES) for i in range(0, len(images), _TEST_BATCH_IMAGES))
    predicted = [np.argmax(network(images[block])[1], axis=1) for block in blocks]
    return float(np.mean(np.concatenate(predicted) == labels))


def _split(records_dir: str, manifest: Manifest, test_source: str) -> tuple[Labelled, Labelled]:
    """What to train on and what to measure the accuracy on."""
    tfrecord.check_sizes(records_dir, manifest)
    with pipeline.naming_damaged_records(records_dir):
        batches = pipeline.batches_in_order(records_dir, manifest).as_numpy_iterator()
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if test_source:
        return (images, labels), _read_test(test_source, manifest)
    held_out = np.arange(len(images)) % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    if not held_out.any():
        raise UserError(
            f"{records_dir} holds {len(images)} images, and every {_HELD_OUT_EVERY}th is held "
            "out to measure the accuracy: use a larger set, or give --test_source."
        )
    return (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out])


def _read_test(test_source: str, manifest: Manifest) -> Labelled:
    resolution, _, channels = manifest.image_shape
    source = sources.open_source(test_source, resolution, channels)
    names = source.class_names
    # By name: a set may lack some, and older records have their folders in another order.
    label_of = {name: label for label, name in enumerate(manifest.class_names)}
    if not names or not label_of.keys() >= set(names):
        raise UserError(
            f"--test_source={test_source} has the classes {some_of(names) or '(none)'} and the "
            f"records {some_of(manifest.class_names)}: give a test set of the same classes."
        )
    images, labels = zip(*source.examples(), strict=True)
    return np.stack(images), np.array([label_of[names[label]] for label in labels], np.int32)


def _epochs(network: keras.Model, train: Labelled, epochs: int, seed: int) -> Iterator[float]:
    """Trains; yields the mean loss of every epoch."""
    images, labels = train
    rng = np.random.default_rng(seed)
    batches = -(-len(images) // _BATCH_IMAGES)
    step = _training_step(network, epochs * batches)
    for epoch in range(1, epochs + 1):
        shuffled = np.array_split(rng.permutation(len(images)), batches)
        # disable=None: a bar on a terminal, nothing in a log file.
        bar = tqdm(shuffled, f"epoch {epoch}", unit="batch", leave=False, disable=None)
        losses = [step(shifted(images[rows], rng), labels[rows]) for rows in bar]
        yield float(np.mean(losses))


def _training_step(
    network: keras.Model, steps: int
) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(network.trainable_variables)

    # Not compiled by XLA, whose convolutions are nine times slower on a CPU.
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, *network.input_shape[1:]], tf.uint8),
            tf.TensorSpec([None], tf.int32),
        ],
        autograph=False,
    )
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            _, logits = network(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients)
        return loss

    return step


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image [H, W, C] moved by -2 to 2 pixels on both axes, the border repeated."""
    count, height, width, _ = images.shape
    pad = (_SHIFT_PIXELS, _SHIFT_PIXELS)
    padded = np.pad(images, [(0, 0), pad, pad, (0, 0)], "edge")
    down, right = rng.integers(2 * _SHIFT_PIXELS + 1, size=[2, count, 1])
    rows, columns = down + np.arange(height), right + np.arange(width)
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _check_writable(output: str) -> None:
    """Finds out before the training that its result cannot be kept."""
    probe = temporary_name(output)
    with naming_the_output(output, "--output"):
        tf.io.gfile.makedirs(os.path.dirname(output) or ".")
        with tf.io.gfile.GFile(probe, "wb") as file:
            file.write(b"")
        tf.io.gfile.remove(probe)
