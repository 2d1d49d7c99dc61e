"""DCGAN (Radford et al. 2015): strided convolutions, normalisation, LeakyReLU."""

import keras
import tensorflow as tf

from trainer.choices import Upsampling
from trainer.config_sections import ModelConfig
from trainer.gan.layer_factory import STRIDED_KERNEL_SIZE, LayerFactory
from trainer.gan.layers import KeyedDropout
from trainer.gan.networks import Discriminator, Generator

_RESIZED_KERNEL_SIZE = 3
_STEM_KERNEL_SIZE = 3
_OUTPUT_KERNEL_SIZE = 5


class DcganGenerator(Generator):
    """A dense layer to R / 2^n pixels a side, n blocks that double it, a convolution, tanh.

    If asked, a hidden dense layer comes first, and the dense layer is followed by normalisation and
    activation, as Radford et al. have it: without, all before the first block is linear.
    """

    def __init__(self, model: ModelConfig, make: LayerFactory) -> None:
        super().__init__(model, make)
        self.normalization = make.normalization() if model.generator_dense_units else None
        self.blocks = [
            UpBlock(filters, model.upsampling, make) for filters in model.generator_filters[1:]
        ]
        self.to_image = make.convolution(model.channels, _OUTPUT_KERNEL_SIZE)
        self.tanh = keras.layers.Activation("tanh", dtype="float32")
        self.embedding = make.embedding(model.class_embedding_dim, model.num_classes)

    def synthesize(self, hidden: tf.Tensor, classes: tf.Tensor | None, training: bool) -> tf.Tensor:
        """Images [B, R, R, C] float32 in [-1, 1]."""
        if self.normalization is not None:
            hidden = self.activation(self.normalization(hidden, classes, training=training))
        for block in self.blocks:
            hidden = block(hidden, classes, training=training)
        return self.tanh(self.to_image(hidden))


class DcganDiscriminator(Discriminator):
    """Blocks that halve the resolution, dropout, and a dense unit on all that is left.

    If asked, a convolution at full resolution comes before the blocks, and a hidden dense layer
    after the dropout.
    """

    def __init__(self, model: ModelConfig, make: LayerFactory) -> None:
        super().__init__(model)
        stem, dense = model.discriminator_stem_filters, model.discriminator_dense_units
        self.activation = make.activation()
        self.stem = make.convolution(stem, _STEM_KERNEL_SIZE) if stem else None
        self.blocks = [
            DownBlock(filters, index == 0, make)
            for index, filters in enumerate(model.discriminator_filters)
        ]
        self.dropout = KeyedDropout(model.dropout_rate, dtype=make.policy)
        self.flatten = keras.layers.Flatten(dtype=make.policy)
        self.hidden_dense = make.dense(dense) if dense else None
        self.head = make.dense(1)
        self.projection = make.embedding(model.discriminator_filters[-1], model.num_classes)

    def features(
        self, images: tf.Tensor, dropout_key: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is left after the last layer [B, F], and the blocks' means over the places
        [B, channels]."""
        hidden = images
        if self.stem is not None:
            hidden = self.activation(self.stem(hidden, training=training))
        for block in self.blocks:
            hidden = block(hidden, training=training)
        hidden = self.dropout(hidden, dropout_key)
        pooled = tf.reduce_mean(hidden, axis=[1, 2])
        hidden = self.flatten(hidden)
        if self.hidden_dense is not None:
            hidden = self.activation(self.hidden_dense(hidden, training=training))
        return hidden, pooled


class UpBlock(keras.layers.Layer):
    """Doubles the resolution, normalises, activates (Radford et al. 2015)."""

    def __init__(self, filters: int, upsampling: Upsampling, make: LayerFactory) -> None:
        """`upsampling`: `transposed`, or `resize` (nearest neighbour, then a convolution:
        no checkerboards, Odena et al. 2016)."""
        super().__init__(dtype=make.policy)
        self.resize = make.upsampling() if upsampling == "resize" else None
        self.convolution = (
            make.convolution(filters, _RESIZED_KERNEL_SIZE, normalized=True)
            if upsampling == "resize"
            else make.transposed_convolution(filters)
        )
        self.normalization = make.normalization()
        self.activation = make.activation()

    def call(
        self, hidden: tf.Tensor, classes: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """[B, R, R, C] to [B, 2R, 2R, filters]; classes: one-hot [B, num_classes] or None."""
        if self.resize is not None:
            hidden = self.resize(hidden)
        hidden = self.convolution(hidden)
        return self.activation(self.normalization(hidden, classes))


class DownBlock(keras.layers.Layer):
    """Halves the resolution by a stride (Radford et al. 2015); the first is not normalised."""

    def __init__(self, filters: int, is_first: bool, make: LayerFactory) -> None:
        super().__init__(dtype=make.policy)
        self.convolution = make.convolution(
            filters, STRIDED_KERNEL_SIZE, strides=2, normalized=not is_first
        )
        self.normalization = None if is_first else make.normalization()
        self.activation = make.activation()

    def call(self, hidden: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, R, R, C] to [B, R / 2, R / 2, filters]."""
        hidden = self.convolution(hidden)
        if self.normalization is not None:
            hidden = self.normalization(hidden)
        return self.activation(hidden)
