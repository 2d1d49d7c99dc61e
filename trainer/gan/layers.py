"""Layers whose randomness comes from outside."""

import keras
import tensorflow as tf

from trainer.gan import keyed_random


class KeyedDropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) whose mask is a function of a key."""

    def __init__(self, rate: float, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.rate = rate

    def call(self, inputs: tf.Tensor, key: tf.Tensor | None) -> tf.Tensor:
        """Drops a share `rate` of the entries and scales the rest by 1 / (1 - rate).

        Args:
            inputs: [B, ...].
            key: [2] int64, a `keyed_random.group_key`, or None to drop nothing.
        """
        if key is None or self.rate == 0:
            return inputs
        kept = keyed_random.uniform(key, inputs.shape) >= self.rate
        return inputs * tf.cast(kept, inputs.dtype) / (1.0 - self.rate)
