"""What every generator and discriminator takes and gives; dcgan.py and resnet.py build them.

`training` is handed on to each layer by name, because Keras's `stateless_call` does not.
"""

import abc

import keras
import tensorflow as tf

from trainer.config_sections import ModelConfig
from trainer.gan.layer_factory import LayerFactory


class Generator(keras.Model):
    """Draws images.

    Attributes:
        embedding: the layer from one-hot labels to what is appended to the latents, or None.
    """

    embedding: keras.layers.Layer | None

    def __init__(self, model: ModelConfig, make: LayerFactory) -> None:
        """Makes the first layers, from latents to R / 2^n pixels a side, for n blocks."""
        super().__init__()
        filters = model.generator_filters[0]
        side = model.resolution // 2 ** (len(model.generator_filters) - 1)
        units = model.generator_dense_units
        self.hidden_dense = make.dense(units) if units else None
        self.activation = make.activation()
        self.project = make.dense(side * side * filters)
        self.reshape = keras.layers.Reshape((side, side, filters), dtype=make.policy)
        self.latent_dim = model.latent_dim
        self.image_shape = (model.resolution, model.resolution, model.channels)
        self.num_classes = model.num_classes

    def call(
        self, latents: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Images of latents.

        Args:
            latents: [B, latent_dim] float32.
            labels: [B] int32, below num_classes; unused where there are no classes.
            training: whether BatchNorm uses the statistics of this batch.

        Returns:
            [B, R, R, C] float32 in [-1, 1].
        """
        classes = tf.one_hot(labels, self.num_classes) if self.num_classes else None
        if self.embedding is not None:
            latents = tf.concat([latents, tf.cast(self.embedding(classes), tf.float32)], axis=1)
        if self.hidden_dense is not None:
            latents = self.activation(self.hidden_dense(latents))
        return self.synthesize(self.reshape(self.project(latents)), classes, training)

    @abc.abstractmethod
    def synthesize(self, hidden: tf.Tensor, classes: tf.Tensor | None, training: bool) -> tf.Tensor:
        """Images of the first layers' outputs, and of one-hot labels [B, num_classes]."""


class Discriminator(keras.Model):
    """Tells real images from generated ones.

    Attributes:
        head: the dense layer from features to one logit.
        projection: the layer from one-hot labels to what features are compared with, or None.
    """

    head: keras.layers.Layer
    projection: keras.layers.Layer | None

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.num_classes = model.num_classes

    def call(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None = None,
        dropout_key: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Logits of being real, and of being what the label says where there are classes.

        Args:
            images: [B, R, R, C] float32 in [-1, 1].
            labels: [B] int32, below num_classes; unused where there are no classes.
            dropout_key: [2] int64, a `keyed_random.group_key`; None: no dropout.
            training: whether BatchNorm uses the statistics of this batch.

        Returns:
            [B] float32.
        """
        features, pooled = self.features(images, dropout_key, training)
        logits = tf.squeeze(self.head(features, training=training), axis=1)
        if self.projection is not None:
            # Miyato and Koyama 2018, "cGANs with Projection Discriminator", equation 4.
            classes = tf.one_hot(labels, self.num_classes)
            embedding = self.projection(classes, training=training)
            logits += tf.reduce_sum(embedding * pooled, axis=1)
        return tf.cast(logits, tf.float32)

    @abc.abstractmethod
    def features(
        self, images: tf.Tensor, dropout_key: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the head sees, [B, F], and what the labels are projected on, [B, channels]."""
