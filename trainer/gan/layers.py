"""Layers whose results do not depend on how the batch is spread over replicas."""

import keras
import tensorflow as tf

from trainer.gan import keyed_random


class GroupBatchNormalization(keras.layers.Layer):
    """Batch normalisation (Ioffe and Szegedy 2015) over groups of fixed size.

    In training, each run of `group_size` images is normalised by its own
    statistics, so that a replica that holds whole groups needs no other replica.
    With one group it is Keras's BatchNormalization. The moving statistics follow
    the mean over all groups of all replicas.

    Input and output: [B, ..., channels] float32, B a multiple of `group_size`
    when training.
    """

    def __init__(self, group_size: int, momentum: float = 0.99, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.group_size = group_size
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes scale, offset and the moving statistics, [channels] each."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        # The step assigns the mean over all replicas, so any replica's value is the value.
        self.moving_mean = self.add_weight(
            shape=shape,
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
            name="moving_mean",
        )
        self.moving_variance = self.add_weight(
            shape=shape,
            initializer="ones",
            trainable=False,
            aggregation="only_first_replica",
            name="moving_variance",
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises by the groups' statistics (training) or by the moving ones."""
        if not training:
            return self._normalise(inputs, self.moving_mean, self.moving_variance)
        groups = tf.reshape(inputs, [-1, self.group_size, *inputs.shape[1:]])
        axes = list(range(1, len(groups.shape) - 1))
        mean, variance = tf.nn.moments(groups, axes, keepdims=True)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        return tf.reshape(self._normalise(groups, mean, variance), tf.shape(inputs))

    def _normalise(self, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        scale = tf.math.rsqrt(variance + self.epsilon) * self.gamma
        return (inputs - mean) * scale + self.beta

    def _move(self, moving: keras.Variable, statistic: tf.Tensor) -> None:
        over_groups = tf.reduce_mean(tf.reshape(statistic, [-1, statistic.shape[-1]]), axis=0)
        moving.assign(moving * self.momentum + over_groups * (1.0 - self.momentum))


class KeyedDropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) whose mask is a function of the given keys."""

    def __init__(self, rate: float, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.rate = rate

    def call(self, inputs: tf.Tensor, keys: tf.Tensor | None) -> tf.Tensor:
        """Drops a share `rate` of the entries and scales the rest by 1 / (1 - rate).

        Args:
            inputs: [k * group_size, ...] float32.
            keys: [k, 2] int64, one for each group, or None to drop nothing.
        """
        if keys is None or self.rate == 0:
            return inputs
        group_size = inputs.shape[0] // keys.shape[0]
        drawn = keyed_random.uniform(keys, (group_size, *inputs.shape[1:]))
        kept = tf.cast(drawn >= self.rate, inputs.dtype)
        return inputs * kept / (1.0 - self.rate)
