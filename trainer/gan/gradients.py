"""The gradients of one group of images, as pure functions that XLA compiles.

Weights and images in; gradients, the networks' new statistics and metrics out. Nothing here
writes to a variable, because XLA cannot compile writes to variables that several replicas share.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.config import Config
from trainer.gan import metric_names as names
from trainer.gan.augment import augment
from trainer.gan.keyed_random import Purpose, group_key, normal, second_key
from trainer.gan.losses import make_objective
from trainer.gan.penalties import PENALTIES
from trainer.gan.state import Gan

Metrics = dict[str, tf.Tensor]
"""Scalars float32 under their TensorBoard names: means over the examples."""
Keys = tuple[tf.Tensor, tf.Tensor]
"""Of dropout and of augmentation, [2] int64 each."""


class Group(NamedTuple):
    """One group of a global batch: its images, and the two numbers that key all it draws."""

    images: tf.Tensor
    """[B, H, W, C] uint8."""
    labels: tf.Tensor
    """[B] int32; generated images get the labels of the real ones."""
    batch_number: tf.Tensor
    """Scalar int64, counted from 0 over the whole run."""
    place: tf.Tensor
    """Scalar int64, the group's place in the global batch."""


class Weights(NamedTuple):
    """One network's weights as plain tensors, what a pure function takes."""

    trainable: list[tf.Tensor]
    non_trainable: list[tf.Tensor]

    @classmethod
    def of(cls, model: keras.Model) -> "Weights":
        """Reads the weights, in a replica that replica's own copy."""
        return cls(
            [tf.convert_to_tensor(variable.value) for variable in model.trainable_variables],
            [tf.convert_to_tensor(variable.value) for variable in model.non_trainable_variables],
        )


class Result(NamedTuple):
    """What is computed for one network."""

    gradients: list[tf.Tensor]
    """Of the loss with respect to `Weights.trainable`."""
    non_trainable: list[tf.Tensor]
    """The new `Weights.non_trainable`: BatchNorm's statistics, singular vectors."""
    metrics: Metrics


class GroupGradients:
    """D's and G's gradients on one group, under a config."""

    def __init__(self, gan: Gan, config: Config) -> None:
        self.generator = gan.generator
        self.discriminator = gan.discriminator
        self.objective = make_objective(config.loss.objective, config.loss.real_label)
        self.penalty = PENALTIES.get(config.loss.penalty)
        self.penalty_factor = config.loss.penalty_weight * config.loss.penalty_every_steps
        self.seed = config.seed
        self.latents_shape = (config.group_size, config.model.latent_dim)
        self.conditional = config.model.num_classes > 0
        self.augmentations = config.train.diff_augment
        self.fakes_in_training_mode = not config.train.inference_mode_fakes
        # Statistics over real and generated images together would give them away.
        self.separate_passes = config.model.discriminator_norm == "batch"

    def of_discriminator(
        self, generator: Weights, discriminator: Weights, group: Group, *, with_penalty: bool
    ) -> Result:
        """D's gradients on a group of real images and as many generated ones."""
        real, labels = to_float(group.images), self._labels(group)
        latents_key = self._key(Purpose.DISCRIMINATOR_LATENTS, group)
        fake, _ = self._generate(generator, labels, latents_key, self.fakes_in_training_mode)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(discriminator.trainable)
            keys = self._keys(Purpose.DISCRIMINATOR_DROPOUT, Purpose.DISCRIMINATOR_AUGMENT, group)
            real_logits, fake_logits, non_trainable = self._discriminate_both(
                discriminator, real, fake, labels, keys
            )
            real_half, fake_half = (
                tf.reduce_mean(half)
                for half in self.objective.discriminator(real_logits, fake_logits)
            )
            loss = self.objective.half_weight * (real_half + fake_half)
            penalty = tf.zeros([])
            if with_penalty:
                penalty = self._weighted_penalty(discriminator, real, fake, labels, group)
                loss += penalty
        metrics = {
            names.DISCRIMINATOR_LOSS: loss,
            names.REAL_LOSS: real_half,
            names.FAKE_LOSS: fake_half,
            names.REAL_PROBABILITY: tf.reduce_mean(tf.sigmoid(real_logits)),
            names.FAKE_PROBABILITY: tf.reduce_mean(tf.sigmoid(fake_logits)),
        }
        if self.penalty:
            metrics[names.PENALTY] = penalty
        return Result(tape.gradient(loss, discriminator.trainable), non_trainable, metrics)

    def of_generator(self, generator: Weights, discriminator: Weights, group: Group) -> Result:
        """G's gradients on a group; only relativistic objectives look at its images."""
        labels = self._labels(group)
        keys = self._keys(Purpose.GENERATOR_DROPOUT, Purpose.GENERATOR_AUGMENT, group)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(generator.trainable)
            latents_key = self._key(Purpose.GENERATOR_LATENTS, group)
            fake, statistics = self._generate(generator, labels, latents_key, training=True)
            if self.objective.relativistic:
                real = to_float(group.images)
                real_logits, fake_logits, _ = self._discriminate_both(
                    discriminator, real, fake, labels, keys
                )
            else:
                real_logits = None
                fake_logits, _ = self._discriminate(discriminator, fake, labels, keys)
            loss = tf.reduce_mean(self.objective.generator(fake_logits, real_logits))
        gradients = tape.gradient(loss, generator.trainable)
        return Result(gradients, statistics, {names.GENERATOR_LOSS: loss})

    def _key(self, purpose: Purpose, group: Group) -> tf.Tensor:
        return group_key(self.seed, purpose, group.batch_number, group.place)

    def _keys(self, dropout: Purpose, augmentation: Purpose, group: Group) -> Keys:
        return self._key(dropout, group), self._key(augmentation, group)

    def _labels(self, group: Group) -> tf.Tensor | None:
        return group.labels if self.conditional else None

    def _generate(
        self, generator: Weights, labels: tf.Tensor | None, key: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Images [B, H, W, C] float32 of fresh latents, and G's new statistics."""
        latents = normal(key, self.latents_shape)
        return self.generator.stateless_call(*generator, latents, labels, training=training)

    def _discriminate(
        self,
        discriminator: Weights,
        images: tf.Tensor,
        labels: tf.Tensor | None,
        keys: Keys,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Logits [B] of augmented images, and D's new statistics."""
        dropout_key, augment_key = keys
        images = augment(images, self.augmentations, augment_key)
        return self.discriminator.stateless_call(
            *discriminator, images, labels, dropout_key, training=True
        )

    def _discriminate_both(
        self,
        discriminator: Weights,
        real: tf.Tensor,
        fake: tf.Tensor,
        labels: tf.Tensor | None,
        keys: Keys,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Logits of real images, logits of generated ones, D's new statistics."""
        if self.separate_passes:
            real_logits, statistics = self._discriminate(discriminator, real, labels, keys)
            discriminator = discriminator._replace(non_trainable=statistics)
            keys = second_key(keys[0]), second_key(keys[1])
            return real_logits, *self._discriminate(discriminator, fake, labels, keys)
        both = tf.concat([real, fake], axis=0)
        both_labels = None if labels is None else tf.concat([labels, labels], axis=0)
        logits, non_trainable = self._discriminate(discriminator, both, both_labels, keys)
        real_logits, fake_logits = tf.split(logits, 2)
        return real_logits, fake_logits, non_trainable

    def _weighted_penalty(
        self,
        discriminator: Weights,
        real: tf.Tensor,
        fake: tf.Tensor,
        labels: tf.Tensor | None,
        group: Group,
    ) -> tf.Tensor:
        """The penalty times its weight, scalar; more where it is not part of every step."""

        def critic(images: tf.Tensor) -> tf.Tensor:
            keys = self._keys(Purpose.PENALTY_DROPOUT, Purpose.PENALTY_AUGMENT, group)
            return self._discriminate(discriminator, images, labels, keys)[0]

        assert self.penalty is not None
        penalties = self.penalty(critic, real, fake, self._key(Purpose.PENALTY_POINTS, group))
        return self.penalty_factor * tf.reduce_mean(penalties)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """0..255 uint8 to [-1, 1] float32."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0
