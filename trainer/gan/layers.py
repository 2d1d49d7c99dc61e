"""Layers that Keras lacks: keyed dropout, spectral and conditional normalisation."""

import math
from typing import Any

import keras
import tensorflow as tf

from trainer.choices import Norm
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


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, in training by one operation of TensorFlow's: equal up to rounding.

    Its last bits depend on the number of threads.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises [B, H, W, C], in training of known size, by the statistics of the batch."""
        if not training:
            return super().call(inputs, training=False)
        *others, channels = inputs.shape
        ones, zeros, nothing = tf.ones([channels]), tf.zeros([channels]), tf.zeros([0])
        outputs, mean, sample_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma) if self.scale else ones,
            offset=tf.convert_to_tensor(self.beta) if self.center else zeros,
            mean=nothing,
            variance=nothing,
            epsilon=self.epsilon,
        )
        # The operation normalises by the variance of the batch, as Keras does, but gives out that
        # of the distribution the batch is from.
        count = math.prod(others)
        variance = sample_variance * ((count - 1) / count)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1.0 - self.momentum))
        return outputs


class Normalization(keras.layers.Layer):
    """Batch, layer or no normalisation, with a scale and an offset for each class if asked."""

    def __init__(
        self,
        kind: Norm,
        momentum: float = 0.99,
        num_classes: int = 0,
        dtype: str = "float32",
        fused: bool = False,
    ) -> None:
        """Prepares the layer.

        Args:
            kind: `batch` (Ioffe and Szegedy 2015), `layer` (over height, width and
                channels, as in Gulrajani et al. 2017) or `none`.
            momentum: decay of BatchNorm's moving statistics, per step.
            num_classes: above 0, scale and offset depend on the class (Dumoulin et al.
                2017, "A Learned Representation for Artistic Style", equation 5).
            dtype: a Keras dtype policy.
            fused: of `batch`, take `FusedBatchNormalization`.
        """
        super().__init__(dtype=dtype)
        self.conditional = num_classes > 0 and kind != "none"
        affine = {"center": not self.conditional, "scale": not self.conditional, "dtype": dtype}
        self.norm: keras.layers.Layer | None = None
        if kind == "batch":
            batch_norm = FusedBatchNormalization if fused else keras.layers.BatchNormalization
            self.norm = batch_norm(momentum=momentum, **affine)
        elif kind == "layer":
            self.norm = keras.layers.GroupNormalization(groups=1, **affine)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the scales and offsets of the classes."""
        if self.conditional:
            options = {"units": input_shape[-1], "use_bias": False, "dtype": self.dtype_policy}
            self.class_scale = keras.layers.Dense(kernel_initializer="ones", **options)
            self.class_offset = keras.layers.Dense(kernel_initializer="zeros", **options)

    def call(
        self, inputs: tf.Tensor, classes: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Normalises [B, H, W, C]; classes: [B, num_classes], one-hot, where conditional."""
        if self.norm is None:
            return inputs
        normalized = self.norm(inputs, training=training)
        if not self.conditional:
            return normalized
        scale, offset = self.class_scale(classes), self.class_offset(classes)
        return normalized * scale[:, None, None, :] + offset[:, None, None, :]


class _SpectralKernel:
    """Divides a layer's kernel by its largest singular value. Miyato et al. 2018, algorithm 1.

    Keras's own SpectralNormalization writes the divided kernel back over the kernel, a
    trainable weight, which a pure function cannot do, starts from a random vector without a
    seed, and leaves the kernel as it is outside training.
    """

    def build(self: Any, input_shape: tuple[int | None, ...]) -> None:
        """Adds the estimate u of the first singular vector, kept from step to step."""
        super().build(input_shape)  # type: ignore[misc]
        self.singular_vector = self.add_weight(
            shape=(self.kernel.shape[-1],),
            initializer="ones",
            trainable=False,
            autocast=False,
            name="singular_vector",
        )

    def normalized_kernel(self: Any, training: bool) -> tf.Tensor:
        """The kernel over its largest singular value, after one more power iteration."""
        kernel = tf.cast(self.kernel, tf.float32)
        matrix = tf.reshape(kernel, [-1, kernel.shape[-1]])
        right = tf.linalg.matvec(matrix, self.singular_vector)
        right = tf.stop_gradient(tf.math.l2_normalize(right))
        left = tf.linalg.matvec(matrix, right, transpose_a=True)
        left = tf.stop_gradient(tf.math.l2_normalize(left))
        if training:
            self.singular_vector.assign(left)
        largest = tf.tensordot(right, tf.linalg.matvec(matrix, left), axes=1)
        return tf.cast(kernel / largest, self.compute_dtype)


class SpectralConv2D(_SpectralKernel, keras.layers.Conv2D):
    """A convolution with a spectrally normalised kernel, as [height * width * in, out] matrix."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """As Conv2D, without an activation; in training the singular vector is updated."""
        outputs = self.convolution_op(inputs, self.normalized_kernel(training))
        return outputs + self.bias if self.use_bias else outputs


class SpectralDense(_SpectralKernel, keras.layers.Dense):
    """A dense layer with a spectrally normalised kernel."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """As Dense, without an activation; in training the singular vector is updated."""
        outputs = tf.matmul(inputs, self.normalized_kernel(training))
        return outputs + self.bias if self.use_bias else outputs
