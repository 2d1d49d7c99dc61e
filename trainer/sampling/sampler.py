"""Draws images from a trained generator: image i of a seed is always the same."""

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from trainer.gan.keyed_random import Purpose, group_key, normal
from trainer.gan.networks import Generator

BLOCK_IMAGES = 64
"""Sampling runs in blocks of this size, whatever is asked for, so that an image is a
function of (weights, seed, index) to the last bit."""

IN_TURN = -1
"""In place of a label: image i of a conditional model is of class i % num_classes."""


class Sampler:
    """Draws from a generator in inference mode."""

    def __init__(self, generator: Generator, truncation: float = math.inf) -> None:
        """`truncation`: latents are normal numbers within +-truncation; fewer outliers, less
        variety (Brock et al. 2019, section 3.1)."""
        self.generator = generator
        self.truncation = truncation

    def images(self, seed: int, count: int, label: int = IN_TURN) -> Iterator[np.ndarray]:
        """Yields `count` images in blocks of [at most 64, H, W, C] uint8."""
        for block in range(math.ceil(count / BLOCK_IMAGES)):
            numbers = (tf.constant(number, tf.int64) for number in (seed, block, label))
            yield self.block(*numbers).numpy()[: count - block * BLOCK_IMAGES]

    def labels(self, count: int, label: int = IN_TURN) -> np.ndarray | None:
        """The labels of `images`, [count] int32; None where the model knows no classes."""
        if not self.generator.num_classes:
            return None
        return labels_of(np.arange(count), label, self.generator.num_classes).numpy()

    def interpolation(self, seed: int, rows: int, columns: int, label: int = IN_TURN) -> np.ndarray:
        """From one latent to another, a row each: [rows * columns, H, W, C] uint8.

        Spherical interpolation (White 2016, "Sampling Generative Networks", section
        2.1): the latents on the way keep the length that G was trained on.
        """
        starts, ends = (
            np.concatenate(
                [
                    self.latents(tf.constant(seed, tf.int64), tf.constant(block, tf.int64)).numpy()
                    for block in range(first, first + math.ceil(rows / BLOCK_IMAGES))
                ]
            )[:rows]
            for first in (0, math.ceil(rows / BLOCK_IMAGES))
        )
        weights = np.linspace(0.0, 1.0, columns, dtype=np.float32)
        latents = np.stack([slerp(starts, ends, w) for w in weights], axis=1)
        latents = latents.reshape(rows * columns, self.generator.latent_dim)
        row_labels = self.labels(rows, label)
        labels = None if row_labels is None else row_labels.repeat(columns)
        blocks = [
            to_uint8(self.generator(latents[part], None if labels is None else labels[part]))
            for part in (slice(i, i + BLOCK_IMAGES) for i in range(0, len(latents), BLOCK_IMAGES))
        ]
        return np.concatenate(blocks)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)] * 3, autograph=False)
    def block(self, seed: tf.Tensor, block: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Images 64 * block to 64 * block + 63 of a seed, [64, H, W, C] uint8."""
        labels = None
        if self.generator.num_classes:
            indices = block * BLOCK_IMAGES + tf.range(BLOCK_IMAGES, dtype=tf.int64)
            labels = labels_of(indices, label, self.generator.num_classes)
        return to_uint8(self.generator(self.latents(seed, block), labels))

    def latents(self, seed: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        """Latents of one block, [64, latent_dim] float32, standard normal."""
        key = group_key(seed, Purpose.SAMPLE_LATENTS, 0, block)
        return normal(key, (BLOCK_IMAGES, self.generator.latent_dim), self.truncation)


def labels_of(indices: tf.Tensor, label: int | tf.Tensor, num_classes: int) -> tf.Tensor:
    """Labels, int32, of the images of some indices: `label`, or each class in turn."""
    return tf.cast(tf.where(tf.equal(label, IN_TURN), indices % num_classes, label), tf.int32)


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """[-1, 1] float32 to 0..255 uint8, rounded to the nearest, half to even."""
    return tf.saturate_cast(tf.round((images + 1.0) * 127.5), tf.uint8)


def slerp(start: np.ndarray, end: np.ndarray, weight: float) -> np.ndarray:
    """Spherical interpolation of vectors [N, D]: `start` at weight 0, `end` at 1."""
    cosine = np.sum(start * end, axis=1, keepdims=True) / (
        np.linalg.norm(start, axis=1, keepdims=True) * np.linalg.norm(end, axis=1, keepdims=True)
    )
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    # Parallel vectors have no arc; the straight line is its limit.
    sine = np.maximum(np.sin(angle), 1e-6)
    straight = (1.0 - weight) * start + weight * end
    arc = (np.sin((1.0 - weight) * angle) * start + np.sin(weight * angle) * end) / sine
    return np.where(np.sin(angle) < 1e-6, straight, arc).astype(start.dtype)
