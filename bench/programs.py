"""The compiled programs of our step, as XLA gets them."""

from typing import Any

import numpy as np
import tensorflow as tf

from bench.flops import of_hlo
from trainer.choices import Convolutions
from trainer.config import Config
from trainer.gan.build import build_gan
from trainer.gan.gradients import Group, Weights
from trainer.gan.step import AdversarialStep


def program_texts(config: Config, stage: str = "hlo") -> list[str]:
    """D's and G's program.

    Args:
        config: one group a step, no penalty.
        stage: `hlo`, before optimizations; `optimized_hlo`; `stablehlo`.
    """
    assert config.group_size == config.train.global_batch_size, "several programs a step"
    config.train.jit_compile = "true"
    gan = build_gan(config, total_steps=1)
    step = AdversarialStep(gan, config, tf.distribute.get_strategy())
    arguments = arguments_of(gan.generator, gan.discriminator, config)
    discriminator, generator = step.discriminator_gradients, step.generator_gradients
    ir_of_discriminator = discriminator.experimental_get_compiler_ir(*arguments, with_penalty=False)
    ir_of_generator = generator.experimental_get_compiler_ir(*arguments)
    return [ir_of_discriminator(stage=stage), ir_of_generator(stage=stage)]


def arguments_of(generator: Any, discriminator: Any, config: Config) -> tuple[Any, ...]:
    """What both programs are called with, for the first batch."""
    size = config.group_size
    model = config.model
    images = np.zeros((size, model.resolution, model.resolution, model.channels), np.uint8)
    return (
        Weights.of(generator),
        Weights.of(discriminator),
        Group(
            tf.constant(images),
            tf.fill([size], -1),
            batch_number=tf.constant(0, tf.int64),
            place=tf.constant(0, tf.int64),
        ),
    )


class Programs:
    """Counts in a process of its own."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def flops(self, convolutions: Convolutions) -> int:
        """Operations of both programs with `train.convolutions` at a value."""
        self.config.train.convolutions = convolutions
        return sum(map(of_hlo, program_texts(self.config)))
