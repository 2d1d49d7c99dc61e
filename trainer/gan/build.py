"""Builds the networks and optimizers that a config describes, with their initial weights."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from trainer.choices import Architecture, OptimizerName, Precision
from trainer.cli import cpu
from trainer.config import Config
from trainer.config_sections import ModelConfig, OptimizerConfig, TrainConfig
from trainer.gan.dcgan import DcganDiscriminator, DcganGenerator
from trainer.gan.kernels import on_cpu, uses_xla
from trainer.gan.layer_factory import Forms, LayerFactory
from trainer.gan.learning_rate import WarmupThenDecay
from trainer.gan.networks import Discriminator, Generator
from trainer.gan.resnet import ResnetDiscriminator, ResnetGenerator
from trainer.gan.state import Gan

GENERATORS: dict[Architecture, Callable[[ModelConfig, LayerFactory], Generator]] = {
    "dcgan": DcganGenerator,
    "resnet": ResnetGenerator,
}
DISCRIMINATORS: dict[Architecture, Callable[[ModelConfig, LayerFactory], Discriminator]] = {
    "dcgan": DcganDiscriminator,
    "resnet": ResnetDiscriminator,
}
DTYPE_POLICIES: dict[Precision, str] = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
OPTIMIZERS: dict[OptimizerName, tuple[type[keras.optimizers.Optimizer], tuple[str, ...]]] = {
    "rmsprop": (keras.optimizers.RMSprop, ("rho", "momentum")),
    "adam": (keras.optimizers.Adam, ("beta_1", "beta_2")),
    "adamw": (keras.optimizers.AdamW, ("weight_decay", "beta_1", "beta_2")),
    "sgd": (keras.optimizers.SGD, ("momentum",)),
}
"""Each with the fields of the config that are its arguments under the same names."""


def build_gan(config: Config, total_steps: int) -> Gan:
    """Builds the state of step 0 of so many; call it inside `strategy.scope()`."""
    generator = build_generator(config)
    discriminator = build_discriminator(config)
    return Gan(
        generator,
        discriminator,
        _build_optimizer(config.optimizer.generator, generator, total_steps),
        _build_optimizer(
            config.optimizer.discriminator,
            discriminator,
            total_steps * config.train.discriminator_steps,
        ),
        # Built alike, so it starts from the same weights.
        ema=build_generator(config) if config.train.ema_half_life_images else None,
        step=_counter("step"),
        batches_skipped=_counter("batches_skipped"),
        rollbacks=_counter("rollbacks"),
    )


def build_generator(config: Config) -> Generator:
    """The generator that `config.model` describes."""
    model = config.model
    make = LayerFactory(
        seeds=_layer_seeds(config.seed, network=0),
        policy=DTYPE_POLICIES[model.precision],
        leaky_relu_slope=model.leaky_relu_slope,
        norm_kind=model.generator_norm,
        batch_norm_momentum=model.batch_norm_momentum,
        num_classes=model.num_classes,
        forms=_forms(config.train),
    )
    generator = GENERATORS[model.architecture](model, make)
    generator(keras.Input((model.latent_dim,)), _labels_input(model.num_classes))
    return generator


def build_discriminator(config: Config) -> Discriminator:
    """The discriminator that `config.model` describes."""
    model = config.model
    make = LayerFactory(
        seeds=_layer_seeds(config.seed, network=1),
        policy=DTYPE_POLICIES[model.precision],
        leaky_relu_slope=model.leaky_relu_slope,
        norm_kind=model.discriminator_norm,
        batch_norm_momentum=model.batch_norm_momentum,
        spectral_norm=model.spectral_norm,
    )
    discriminator = DISCRIMINATORS[model.architecture](model, make)
    image = (model.resolution, model.resolution, model.channels)
    discriminator(keras.Input(image), _labels_input(model.num_classes))
    return discriminator


def _labels_input(num_classes: int) -> keras.KerasTensor | None:
    return keras.Input((), dtype="int32") if num_classes else None


def _layer_seeds(seed: int, network: int) -> Iterator[int]:
    generator = np.random.default_rng([seed, network])
    while True:
        yield int(generator.integers(2**31))


def _forms(train: TrainConfig) -> Forms:
    """What `train.convolutions` asks for, or the fastest of the device and what computes on it."""
    wanted = train.convolutions
    if wanted == "auto" and on_cpu():
        if uses_xla(train.jit_compile):
            wanted = "unit_stride"
        elif cpu.has_fast_kernels():
            return Forms(shifted_sum=True, fused_batch_norm=True)
    return Forms(unit_stride=True, shifted_sum=True) if wanted == "unit_stride" else Forms()


def _build_optimizer(
    config: OptimizerConfig, model: keras.Model, total_updates: int
) -> keras.optimizers.Optimizer:
    kind, fields = OPTIMIZERS[config.name]
    learning_rate = WarmupThenDecay(config, total_updates)
    optimizer = kind(learning_rate, **{name: getattr(config, name) for name in fields})
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
