"""Everything that training changes, in one object."""

import dataclasses
import math

import keras
import tensorflow as tf

from trainer.config import Config
from trainer.gan.networks import Discriminator, Generator


@dataclasses.dataclass(frozen=True)
class Gan:
    """Both networks, both optimizers, G's moving average, and where the run stands."""

    generator: Generator
    discriminator: Discriminator
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    ema: Generator | None  # exponential moving average of G's weights and statistics
    step: tf.Variable  # scalar int64: generator updates done
    batches_skipped: tf.Variable  # scalar int64: steps' worth of batches that rollbacks left out
    rollbacks: tf.Variable  # scalar int64

    @property
    def sampled(self) -> Generator:
        """The generator that samples are drawn from."""
        return self.ema or self.generator

    @property
    def saved_bytes(self) -> int:
        """What a checkpoint takes."""
        networks = [self.generator, self.discriminator, *([self.ema] if self.ema else [])]
        optimizers = [self.generator_optimizer, self.discriminator_optimizer]
        variables = [v for part in (*networks, *optimizers) for v in part.variables]
        return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)

    def checkpoint(self) -> tf.train.Checkpoint:
        """What is saved, under the names that a checkpoint file holds."""
        ema = {_EMA: _saved(self.ema)} if self.ema else {}
        return tf.train.Checkpoint(
            generator=_saved(self.generator),
            discriminator=_saved(self.discriminator),
            generator_optimizer=self.generator_optimizer,
            discriminator_optimizer=self.discriminator_optimizer,
            step=self.step,
            batches_skipped=self.batches_skipped,
            rollbacks=self.rollbacks,
            **ema,
        )


def sampled_generator_checkpoint(config: Config, generator: Generator) -> tf.train.Checkpoint:
    """What restores, from a checkpoint of a run, the generator that samples are drawn from."""
    name = _EMA if config.train.ema_half_life_images else "generator"
    return tf.train.Checkpoint(**{name: _saved(generator)})


_EMA = "average"  # in checkpoint files, from the first version on


def _saved(model: keras.Model) -> list[tf.Variable]:
    # Not the model: a checkpoint would find only the layers that are attributes of their own,
    # and silently leave out those in lists (Keras 3.15).
    return [variable.value for variable in model.variables]
