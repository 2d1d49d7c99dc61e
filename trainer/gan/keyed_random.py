"""Random numbers that are a function of (seed, purpose, batch, group) alone.

Nothing here has a state: a number does not depend on the replica that draws it,
on what was drawn before, on the device, or on XLA. The unit is the group: a run
of `group_size` images of the global batch that no replica splits.

TensorFlow's stateless float generators give different values inside and outside
a compiled function (tensorflow/tensorflow#117644, seen with 2.21); its integers
agree, so the floats are made from them here.
"""

import enum
import math

import tensorflow as tf

_GROUPS_BITS = 20  # a batch may have up to 2**20 groups, and a run up to 2**43 batches
_MANTISSA_BITS = 23
_PURPOSES_AT_MOST = (
    64  # two uses each; fixed: a purpose that is added must not change the numbers of the others
)


class Purpose(enum.IntEnum):
    """What a number is drawn for; one purpose never sees another's numbers."""

    DISCRIMINATOR_LATENTS = 0
    GENERATOR_LATENTS = 1
    DISCRIMINATOR_DROPOUT = 2
    GENERATOR_DROPOUT = 3
    SAMPLE_LATENTS = 4
    DISCRIMINATOR_AUGMENT = 5
    GENERATOR_AUGMENT = 6
    PENALTY_POINTS = 7
    PENALTY_DROPOUT = 8
    PENALTY_AUGMENT = 9


def group_key(
    seed: int | tf.Tensor, purpose: Purpose, batch: int | tf.Tensor, group: int | tf.Tensor
) -> tf.Tensor:
    """The key of one group of one global batch, both counted from 0; the seed is below 2**31.

    Returns:
        [2] int64, different for every (seed, purpose, batch, group).
    """
    first = tf.cast(seed, tf.int64) * _PURPOSES_AT_MOST + int(purpose)
    second = tf.cast(batch, tf.int64) * 2**_GROUPS_BITS + tf.cast(group, tf.int64)
    return tf.stack([first, second])


def second_key(key: tf.Tensor) -> tf.Tensor:
    """A key for the second use of the same purpose, batch and group."""
    return key + tf.constant([_PURPOSES_AT_MOST // 2, 0], tf.int64)


def uniform(key: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Uniform numbers in the open interval (0, 1), float32, from a `group_key`."""
    bits = tf.random.stateless_uniform(
        shape, key, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    integers = tf.cast(tf.bitwise.right_shift(bits, 32 - _MANTISSA_BITS), tf.int32)
    # The half keeps 0 and 1 out, and the sum is exact in float32.
    return (tf.cast(integers, tf.float32) + 0.5) * 2.0**-_MANTISSA_BITS


def normal(
    key: tf.Tensor, shape: tuple[int, ...], truncation: float | tf.Tensor = math.inf
) -> tf.Tensor:
    """Normal numbers by the inverse distribution function, of magnitude up to 5.3.

    With a truncation, above 0, they follow the part of the standard normal distribution that lies
    within +-truncation.
    """
    # erf(truncation / sqrt 2) is the share of the distribution that is kept; 1 for infinity.
    share = tf.math.erf(tf.cast(truncation, tf.float32) / math.sqrt(2.0))
    return math.sqrt(2.0) * tf.math.erfinv(share * (2.0 * uniform(key, shape) - 1.0))
