"""Residual networks of spectral normalisation (Miyato et al. 2018, figure 8)."""

import keras
import tensorflow as tf

from trainer.config_sections import ModelConfig
from trainer.gan.layer_factory import LayerFactory
from trainer.gan.layers import KeyedDropout
from trainer.gan.networks import Discriminator, Generator

_KERNEL_SIZE = 3


class ResnetGenerator(Generator):
    """A dense layer to R / 2^n pixels a side, n blocks that double it, a convolution, tanh."""

    def __init__(self, model: ModelConfig, make: LayerFactory) -> None:
        super().__init__(model, make)
        self.blocks = [ResidualUpBlock(filters, make) for filters in model.generator_filters[1:]]
        # A residual block leaves its sum as it is; the last one is normalised here.
        self.final_norm = make.normalization()
        self.final_activation = make.activation()
        self.to_image = make.convolution(model.channels, _KERNEL_SIZE)
        self.tanh = keras.layers.Activation("tanh", dtype="float32")
        self.embedding = make.embedding(model.class_embedding_dim, model.num_classes)

    def synthesize(self, hidden: tf.Tensor, classes: tf.Tensor | None, training: bool) -> tf.Tensor:
        """Images [B, R, R, C] float32 in [-1, 1]."""
        for block in self.blocks:
            hidden = block(hidden, classes, training=training)
        hidden = self.final_activation(self.final_norm(hidden, classes, training=training))
        return self.tanh(self.to_image(hidden))


class ResnetDiscriminator(Discriminator):
    """Blocks that halve the resolution, dropout, and a dense unit on the sum over all places."""

    def __init__(self, model: ModelConfig, make: LayerFactory) -> None:
        super().__init__(model)
        self.blocks = [
            ResidualDownBlock(filters, index == 0, make)
            for index, filters in enumerate(model.discriminator_filters)
        ]
        self.final_activation = make.activation()
        self.dropout = KeyedDropout(model.dropout_rate, dtype=make.policy)
        self.head = make.dense(1)
        self.projection = make.embedding(model.discriminator_filters[-1], model.num_classes)

    def features(
        self, images: tf.Tensor, dropout_key: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums over the places, twice: [B, channels]."""
        hidden = images
        for block in self.blocks:
            hidden = block(hidden, training=training)
        hidden = self.final_activation(self.dropout(hidden, dropout_key))
        sums = tf.reduce_sum(hidden, axis=[1, 2])
        return sums, sums


class ResidualUpBlock(keras.layers.Layer):
    """Doubles the resolution beside a shortcut (Miyato et al. 2018, figure 8b)."""

    def __init__(self, filters: int, make: LayerFactory) -> None:
        super().__init__(dtype=make.policy)
        self.resize = make.upsampling()
        self.normalizations = [make.normalization(), make.normalization()]
        self.activation = make.activation()
        # Shortcuts pass a constant on unchanged until the normalisation at the end of the
        # network takes it away, so the biases of all three would have no gradient.
        self.convolutions = [
            make.convolution(filters, _KERNEL_SIZE, normalized=True) for _ in range(2)
        ]
        self.shortcut = make.convolution(filters, 1, normalized=True)

    def call(
        self, hidden: tf.Tensor, classes: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """[B, R, R, C] to [B, 2R, 2R, filters]; classes: one-hot [B, num_classes] or None."""
        shortcut = self.shortcut(self.resize(hidden))
        hidden = self.activation(self.normalizations[0](hidden, classes))
        hidden = self.convolutions[0](self.resize(hidden))
        hidden = self.activation(self.normalizations[1](hidden, classes))
        return shortcut + self.convolutions[1](hidden)


class ResidualDownBlock(keras.layers.Layer):
    """Halves the resolution beside a shortcut (Miyato et al. 2018, figure 8a)."""

    def __init__(self, filters: int, is_first: bool, make: LayerFactory) -> None:
        super().__init__(dtype=make.policy)
        # The first block sees images, which are neither normalised nor cut off at zero.
        self.before = None if is_first else (make.normalization(), make.activation())
        self.convolutions = [
            make.convolution(filters, _KERNEL_SIZE, normalized=True),
            make.convolution(filters, _KERNEL_SIZE),
        ]
        self.normalization = make.normalization()
        self.activation = make.activation()
        self.shortcut = make.convolution(filters, 1)
        self.pool = keras.layers.AveragePooling2D(2, dtype=make.policy)

    def call(self, hidden: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, R, R, C] to [B, R / 2, R / 2, filters]."""
        shortcut = self.pool(self.shortcut(hidden))
        if self.before is not None:
            normalization, activation = self.before
            hidden = activation(normalization(hidden))
        hidden = self.convolutions[0](hidden)
        hidden = self.activation(self.normalization(hidden))
        return shortcut + self.pool(self.convolutions[1](hidden))
