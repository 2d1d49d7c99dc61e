"""The gradients of one group of images, as pure functions that XLA compiles.

Weights, images, labels, batch number and group in; gradients, the networks' new
statistics and metrics out. Nothing here writes to a variable, because XLA cannot
compile writes to variables that several replicas share.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.config import Config
from trainer.gan.augment import augment
from trainer.gan.keyed_random import Purpose, group_key, normal, second_key
from trainer.gan.losses import make_objective
from trainer.gan.penalties import PENALTIES
from trainer.gan.state import Gan

Metrics = dict[str, tf.Tensor]
"""Scalars float32 under their TensorBoard names: means over the examples."""


class Weights(NamedTuple):
    """One network's weights as plain tensors, what a pure program takes."""

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
    """What a program computes for one network."""

    gradients: list[tf.Tensor]
    """Of the loss with respect to `Weights.trainable`."""
    non_trainable: list[tf.Tensor]
    """The new `Weights.non_trainable`: BatchNorm's statistics, singular vectors."""
    metrics: Metrics


class GradientPrograms:
    """D's and G's gradients under a config."""

    def __init__(self, gan: Gan, config: Config) -> None:
        self.generator = gan.generator
        self.discriminator = gan.discriminator
        self.objective = make_objective(config.loss.objective, config.loss.real_label)
        self.penalty = PENALTIES.get(config.loss.penalty)
        self.penalty_factor = config.loss.penalty_weight * config.loss.penalty_every_steps
        self.seed = config.seed
        self.latents_shape = (config.group_size, config.model.latent_dim)
        self.conditional = config.model.num_classes > 0
        self.augmentations = config.augmentations
        self.fakes_in_training_mode = not config.train.inference_mode_fakes
        # Statistics over real and generated images together would give them away.
        self.judges_apart = config.model.discriminator_norm == "batch"

    def of_discriminator(
        self,
        generator: Weights,
        discriminator: Weights,
        images: tf.Tensor,
        labels: tf.Tensor,
        batch: tf.Tensor,
        group: tf.Tensor,
        *,
        with_penalty: bool,
    ) -> Result:
        """D's gradients on one group of real images and one of generated ones.

        Args:
            generator: G's weights.
            discriminator: D's weights.
            images: [B, H, W, C] uint8.
            labels: [B] int32; generated images get the labels of the real ones.
            batch: scalar int64, the number of D's batch.
            group: scalar int64, the group's place in it.
            with_penalty: whether the gradient penalty is part of the loss.
        """
        real = to_float(images)
        labels = labels if self.conditional else None
        fake, _ = self._generate(
            generator,
            labels,
            group_key(self.seed, Purpose.DISCRIMINATOR_LATENTS, batch, group),
            training=self.fakes_in_training_mode,
        )
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(discriminator.trainable)
            real_logits, fake_logits, non_trainable = self._judge_both(
                discriminator,
                real,
                fake,
                labels,
                group_key(self.seed, Purpose.DISCRIMINATOR_DROPOUT, batch, group),
                group_key(self.seed, Purpose.DISCRIMINATOR_AUGMENT, batch, group),
            )
            real_half, fake_half = (
                tf.reduce_mean(half)
                for half in self.objective.discriminator(real_logits, fake_logits)
            )
            loss = self.objective.half_weight * (real_half + fake_half)
            penalty = tf.zeros([])
            if with_penalty:
                penalty = self._penalty(discriminator, real, fake, labels, batch, group)
                loss += penalty
        metrics = {
            "loss/discriminator": loss,
            "loss/discriminator_real": real_half,
            "loss/discriminator_fake": fake_half,
            "discriminator/real_probability": tf.reduce_mean(tf.sigmoid(real_logits)),
            "discriminator/fake_probability": tf.reduce_mean(tf.sigmoid(fake_logits)),
        }
        if self.penalty:
            metrics["loss/penalty"] = penalty
        return Result(tape.gradient(loss, discriminator.trainable), non_trainable, metrics)

    def of_generator(
        self,
        generator: Weights,
        discriminator: Weights,
        images: tf.Tensor,
        labels: tf.Tensor,
        batch: tf.Tensor,
        group: tf.Tensor,
    ) -> Result:
        """G's gradients on one group, arguments as for D; only some objectives look at `images`."""
        labels = labels if self.conditional else None
        dropout_key = group_key(self.seed, Purpose.GENERATOR_DROPOUT, batch, group)
        augment_key = group_key(self.seed, Purpose.GENERATOR_AUGMENT, batch, group)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(generator.trainable)
            fake, statistics = self._generate(
                generator,
                labels,
                group_key(self.seed, Purpose.GENERATOR_LATENTS, batch, group),
                training=True,
            )
            if self.objective.relativistic:
                real_logits, fake_logits, _ = self._judge_both(
                    discriminator, to_float(images), fake, labels, dropout_key, augment_key
                )
            else:
                real_logits = None
                fake_logits, _ = self._judge(discriminator, fake, labels, dropout_key, augment_key)
            loss = tf.reduce_mean(self.objective.generator(fake_logits, real_logits))
        gradients = tape.gradient(loss, generator.trainable)
        return Result(gradients, statistics, {"loss/generator": loss})

    def _generate(
        self, generator: Weights, labels: tf.Tensor | None, key: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Images [B, H, W, C] float32 of fresh latents, and G's new statistics."""
        latents = normal(key, self.latents_shape)
        return self.generator.stateless_call(*generator, latents, labels, training=training)

    def _judge(
        self,
        discriminator: Weights,
        images: tf.Tensor,
        labels: tf.Tensor | None,
        dropout_key: tf.Tensor,
        augment_key: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Logits [B] of augmented images, and D's new statistics."""
        images = augment(images, self.augmentations, augment_key)
        return self.discriminator.stateless_call(
            *discriminator, images, labels, dropout_key, training=True
        )

    def _judge_both(
        self,
        discriminator: Weights,
        real: tf.Tensor,
        fake: tf.Tensor,
        labels: tf.Tensor | None,
        dropout_key: tf.Tensor,
        augment_key: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Logits of real images, logits of generated ones, D's new statistics."""
        if self.judges_apart:
            real_logits, statistics = self._judge(
                discriminator, real, labels, dropout_key, augment_key
            )
            discriminator = discriminator._replace(non_trainable=statistics)
            keys = second_key(dropout_key), second_key(augment_key)
            return real_logits, *self._judge(discriminator, fake, labels, *keys)
        both = tf.concat([real, fake], axis=0)
        both_labels = None if labels is None else tf.concat([labels, labels], axis=0)
        logits, non_trainable = self._judge(
            discriminator, both, both_labels, dropout_key, augment_key
        )
        real_logits, fake_logits = tf.split(logits, 2)
        return real_logits, fake_logits, non_trainable

    def _penalty(
        self,
        discriminator: Weights,
        real: tf.Tensor,
        fake: tf.Tensor,
        labels: tf.Tensor | None,
        batch: tf.Tensor,
        group: tf.Tensor,
    ) -> tf.Tensor:
        """The weighted penalty, scalar; more where it is not part of every step."""

        def key(purpose: Purpose) -> tf.Tensor:
            return group_key(self.seed, purpose, batch, group)

        def critic(images: tf.Tensor) -> tf.Tensor:
            keys = key(Purpose.PENALTY_DROPOUT), key(Purpose.PENALTY_AUGMENT)
            return self._judge(discriminator, images, labels, *keys)[0]

        assert self.penalty is not None
        penalties = self.penalty(critic, real, fake, key(Purpose.PENALTY_POINTS))
        return self.penalty_factor * tf.reduce_mean(penalties)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """0..255 uint8 to [-1, 1] float32."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0
