"""The adversarial step: two compiled gradient programs, a mean over all groups, two updates.

A step updates D on a batch of real images and as many generated ones, then G
through the updated D with fresh noise (Goodfellow et al. 2014, algorithm 1, k = 1).

The gradient programs are pure: weights, images, batch number and group in; gradients,
new BatchNorm statistics and metrics out. Every write to a variable stays outside
them, because XLA cannot compile writes to variables that several replicas share.

The same numbers on any number of replicas: a program always computes one group, so a
group's gradients have the same bits wherever it is computed; and the groups are added
up in float64, in which sums of float32 do not depend on the order.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.config import Config
from trainer.gan import losses
from trainer.gan.keyed_random import Purpose, group_key, normal
from trainer.gan.state import Gan

METRICS = (
    "loss/generator",
    "loss/discriminator",
    "loss/discriminator_real",
    "loss/discriminator_fake",
    "discriminator/real_probability",
    "discriminator/fake_probability",
)
Metrics = dict[str, tf.Tensor]
"""Scalars float32 under their TensorBoard names: means over the batch."""


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


class AdversarialStep:
    """One step on every replica of a strategy; call it with the real images."""

    def __init__(
        self,
        gan: Gan,
        config: Config,
        strategy: tf.distribute.Strategy,
        jit_compile: bool = True,
        sum_dtype: tf.DType = tf.float64,
    ) -> None:
        """Prepares the programs; they are compiled at the first call.

        Args:
            gan: what the step updates, built under `strategy.scope()`.
            config: a validated config.
            strategy: its replicas must be able to share out the groups evenly.
            jit_compile: whether XLA compiles the gradient programs.
            sum_dtype: in which groups are added up; float32 gives up the last bits.
        """
        self.gan = gan
        self.strategy = strategy
        self.seed = config.seed
        self.real_label = config.loss.real_label
        self.latents_shape = (config.group_size, config.model.latent_dim)
        self.num_groups = config.train.global_batch_size // config.group_size
        self.groups_per_replica = self.num_groups // strategy.num_replicas_in_sync
        self.sum_dtype = sum_dtype
        self.discriminator_program = tf.function(
            self._discriminator_program, jit_compile=jit_compile
        )
        self.generator_program = tf.function(self._generator_program, jit_compile=jit_compile)

    @tf.function
    def __call__(self, images: Any, stop: tf.Tensor) -> tuple[Metrics, tf.Tensor]:
        """Updates D, then G, then the step counter.

        Args:
            images: real images, [B / replicas, H, W, C] uint8 on each replica.
            stop: scalar float32, 1 where this worker was told to stop and 0 elsewhere.

        Returns:
            The metrics, means over the global batch, and the mean of all workers' `stop`,
            which lets all of them stop after the same step.
        """
        return self._step(images, stop)

    @tf.function
    def run_many(
        self, batches: Iterator[Any], steps: tf.Tensor, stop: tf.Tensor
    ) -> tuple[Metrics, tf.Tensor]:
        """Several steps without a return to Python, as a TPU's host wants it.

        Args:
            batches: a distributed iterator over what `__call__` takes.
            steps: scalar int32, at least 1.
            stop: as `__call__` takes it.

        Returns:
            The metrics of each step, [steps] float32, and the mean of all `stop`.
        """
        series = {name: tf.TensorArray(tf.float32, steps) for name in METRICS}
        anyone_stops = tf.zeros([])
        for index in tf.range(steps):
            metrics, anyone_stops = self._step(next(batches), stop)
            series = {name: series[name].write(index, metrics[name]) for name in METRICS}
        return {name: values.stack() for name, values in series.items()}, anyone_stops

    def _step(self, images: Any, stop: tf.Tensor) -> tuple[Metrics, tf.Tensor]:
        # The batch, not the step, is what decides data, noise and dropout: a rollback that
        # skips batches must not meet the same noise again.
        batch = self.gan.step + self.gan.batches_skipped
        metrics, stops = self.strategy.run(self._replica_step, args=(images, batch, stop))
        self.gan.step.assign_add(1)
        first = self.strategy.experimental_local_results
        return {name: first(value)[0] for name, value in metrics.items()}, first(stops)[0]

    def _replica_step(
        self, images: tf.Tensor, batch: tf.Tensor, stop: tf.Tensor
    ) -> tuple[Metrics, tf.Tensor]:
        gan = self.gan
        context = tf.distribute.get_replica_context()
        first_group = tf.cast(context.replica_id_in_sync_group, tf.int64) * self.groups_per_replica
        groups = [first_group + place for place in range(self.groups_per_replica)]

        weights = Weights.of(gan.generator), Weights.of(gan.discriminator)
        gradients, discriminator_metrics = self._sum_over_groups(
            self.discriminator_program(*weights, group_images, batch, group)
            for group_images, group in zip(tf.split(images, len(groups)), groups, strict=True)
        )
        # Keras adds up the gradients of the replicas, then takes them back to float32.
        gan.discriminator_optimizer.apply(gradients, gan.discriminator.trainable_variables)

        weights = Weights.of(gan.generator), Weights.of(gan.discriminator)
        gradients, statistics, generator_metrics = self._sum_over_groups(
            self.generator_program(*weights, batch, group) for group in groups
        )
        gan.generator_optimizer.apply(gradients, gan.generator.trainable_variables)

        metrics = discriminator_metrics | generator_metrics
        own_stop = tf.cast(stop, self.sum_dtype) / self.strategy.num_replicas_in_sync
        sums = context.all_reduce(
            tf.distribute.ReduceOp.SUM,
            [own_stop, *(metrics[name] for name in METRICS), *statistics],
        )
        anyone_stops, *means = [tf.cast(value, tf.float32) for value in sums]
        statistics = means[len(METRICS) :]
        for variable, value in zip(gan.generator.non_trainable_variables, statistics, strict=True):
            variable.assign(value)
        return dict(zip(METRICS, means, strict=False)), anyone_stops

    def _sum_over_groups(self, of_groups: Iterable[Any]) -> Any:
        """This replica's part of the mean over all groups of the batch."""
        return tf.nest.map_structure(
            lambda *values: (
                tf.add_n([tf.cast(value, self.sum_dtype) for value in values]) / self.num_groups
            ),
            *of_groups,
        )

    def _discriminator_program(
        self,
        generator: Weights,
        discriminator: Weights,
        images: tf.Tensor,
        batch: tf.Tensor,
        group: tf.Tensor,
    ) -> tuple[list[tf.Tensor], Metrics]:
        """D's gradients on one group of real images and one of generated ones."""
        real = tf.cast(images, tf.float32) / 127.5 - 1.0
        latents = normal(
            group_key(self.seed, Purpose.DISCRIMINATOR_LATENTS, batch, group), self.latents_shape
        )
        fake, _ = self.gan.generator.stateless_call(*generator, latents, training=True)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(discriminator.trainable)
            logits, _ = self.gan.discriminator.stateless_call(
                *discriminator,
                tf.concat([real, fake], axis=0),
                group_key(self.seed, Purpose.DISCRIMINATOR_DROPOUT, batch, group),
            )
            real_logits, fake_logits = tf.split(logits, 2)
            real_loss = tf.reduce_mean(losses.discriminator_real_loss(real_logits, self.real_label))
            fake_loss = tf.reduce_mean(losses.discriminator_fake_loss(fake_logits))
            loss = (real_loss + fake_loss) / 2.0
        metrics = {
            "loss/discriminator": loss,
            "loss/discriminator_real": real_loss,
            "loss/discriminator_fake": fake_loss,
            "discriminator/real_probability": tf.reduce_mean(tf.sigmoid(real_logits)),
            "discriminator/fake_probability": tf.reduce_mean(tf.sigmoid(fake_logits)),
        }
        return tape.gradient(loss, discriminator.trainable), metrics

    def _generator_program(
        self, generator: Weights, discriminator: Weights, batch: tf.Tensor, group: tf.Tensor
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], Metrics]:
        """G's gradients on one group, and its new BatchNorm statistics."""
        latents = normal(
            group_key(self.seed, Purpose.GENERATOR_LATENTS, batch, group), self.latents_shape
        )
        dropout_key = group_key(self.seed, Purpose.GENERATOR_DROPOUT, batch, group)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(generator.trainable)
            fake, statistics = self.gan.generator.stateless_call(*generator, latents, training=True)
            logits, _ = self.gan.discriminator.stateless_call(*discriminator, fake, dropout_key)
            loss = tf.reduce_mean(losses.generator_loss(logits))
        return tape.gradient(loss, generator.trainable), statistics, {"loss/generator": loss}
