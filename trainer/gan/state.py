"""Everything that training changes, in one object."""

import dataclasses

import keras
import tensorflow as tf

from trainer.config import Config, OptimizerConfig
from trainer.gan.networks import Discriminator, build_discriminator, build_generator

_OPTIMIZERS = {"rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}


@dataclasses.dataclass(frozen=True)
class Gan:
    """Both networks, both optimizers, and where the run stands."""

    generator: keras.Sequential
    discriminator: Discriminator
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    step: tf.Variable  # scalar int64: generator updates done
    batches_skipped: tf.Variable  # scalar int64: batches that rollbacks have left out
    rollbacks: tf.Variable  # scalar int64

    def checkpoint(self) -> tf.train.Checkpoint:
        """What is saved, under the names that a checkpoint file holds."""
        return tf.train.Checkpoint(
            generator=self.generator,
            discriminator=self.discriminator,
            generator_optimizer=self.generator_optimizer,
            discriminator_optimizer=self.discriminator_optimizer,
            step=self.step,
            batches_skipped=self.batches_skipped,
            rollbacks=self.rollbacks,
        )


def build_generator_of(config: Config) -> keras.Sequential:
    """The generator that `config.model` describes, with its initial weights."""
    return build_generator(
        resolution=config.model.resolution,
        channels=config.model.channels,
        latent_dim=config.model.latent_dim,
        filters=config.model.generator_filters,
        leaky_relu_slope=config.model.leaky_relu_slope,
        batch_norm_momentum=config.model.batch_norm_momentum,
        precision=config.model.precision,
        seed=config.seed,
    )


def build_gan(config: Config) -> Gan:
    """Builds the state of step 0; call it inside `strategy.scope()`."""
    generator = build_generator_of(config)
    discriminator = build_discriminator(
        resolution=config.model.resolution,
        channels=config.model.channels,
        filters=config.model.discriminator_filters,
        leaky_relu_slope=config.model.leaky_relu_slope,
        dropout_rate=config.model.dropout_rate,
        precision=config.model.precision,
        seed=config.seed,
    )
    generator_optimizer = _build_optimizer(config.optimizer.generator, generator)
    discriminator_optimizer = _build_optimizer(config.optimizer.discriminator, discriminator)
    return Gan(
        generator,
        discriminator,
        generator_optimizer,
        discriminator_optimizer,
        step=_counter("step"),
        batches_skipped=_counter("batches_skipped"),
        rollbacks=_counter("rollbacks"),
    )


def _build_optimizer(config: OptimizerConfig, model: keras.Model) -> keras.optimizers.Optimizer:
    optimizer = _OPTIMIZERS[config.name](config.learning_rate)
    optimizer.build(model.trainable_variables)
    return optimizer


def _counter(name: str) -> tf.Variable:
    return tf.Variable(
        0,
        dtype=tf.int64,
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        name=name,
    )
