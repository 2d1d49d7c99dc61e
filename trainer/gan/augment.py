"""Differentiable augmentation of what the discriminator sees, for small sets.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training".
Real and generated images pass through it in both players' losses, so that G is
never taught to draw augmented images.
"""

from collections.abc import Callable

import tensorflow as tf

from trainer.choices import Augmentation
from trainer.gan.keyed_random import uniform

_MOST_TRANSLATION = 1 / 8  # of the side
_CUTOUT_SIDE = 1 / 2  # of the side
_NUMBERS_AN_IMAGE = 7


def augment(images: tf.Tensor, policies: tuple[Augmentation, ...], key: tf.Tensor) -> tf.Tensor:
    """Changes each image in its own random way.

    Args:
        images: [B, H, W, C] float32 in [-1, 1].
        policies: what to apply, in this order.
        key: [2] int64, a `keyed_random.group_key`.

    Returns:
        [B, H, W, C] float32; colours may leave the range.
    """
    numbers = uniform(key, (images.shape[0], _NUMBERS_AN_IMAGE))
    for policy in policies:
        images = POLICIES[policy](images, numbers)
    return images


def color(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Brightness by up to +-0.5, saturation by a factor in (0, 2), contrast in (0.5, 1.5)."""
    brightness, saturation, contrast = (numbers[:, i, None, None, None] for i in range(3))
    images += brightness - 0.5
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - grey) * (2.0 * saturation) + grey
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return (images - mean) * (contrast + 0.5) + mean


def translation(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Shifts by up to an eighth of each side; what comes in is 0."""
    _, height, width, _ = images.shape
    rows = _shift_matrices(height, numbers[:, 3])
    columns = _shift_matrices(width, numbers[:, 4])
    return tf.einsum("byi,bijc,bxj->byxc", rows, images, columns)


def cutout(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Sets a square of half the side, which may reach over the edge, to 0."""
    _, height, width, _ = images.shape
    rows = _cut(height, numbers[:, 5])[:, :, None, None]
    columns = _cut(width, numbers[:, 6])[:, None, :, None]
    return images * (1.0 - rows * columns)


POLICIES: dict[Augmentation, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}


def _shift_matrices(side: int, numbers: tf.Tensor) -> tf.Tensor:
    """0-1 matrices [B, side, side] that move pixel j to j + shift.

    A product with them is fast on a TPU and has a deterministic gradient, unlike a gather.
    """
    most = int(side * _MOST_TRANSLATION + 0.5)
    shift = tf.floor(numbers * (2 * most + 1)) - most
    place = tf.range(side, dtype=tf.float32)
    return tf.cast(place[:, None] - place == shift[:, None, None], tf.float32)


def _cut(side: int, numbers: tf.Tensor) -> tf.Tensor:
    """[B, side] float32: 1 where the square covers the side."""
    length = int(side * _CUTOUT_SIDE + 0.5)
    centre = tf.floor(numbers * (side + 1 - length % 2))
    first = (centre - length // 2)[:, None]
    place = tf.range(side, dtype=tf.float32)
    return tf.cast((place >= first) & (place < first + length), tf.float32)
