"""Writes our step's programs as StableHLO for JAX's runtime, with the state to start from."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow as tf
from jax import export
from jax.experimental import jax2tf

from bench.programs import arguments_of
from bench.task import Task
from trainer.config import Config
from trainer.gan.build import build_gan
from trainer.gan.step import AdversarialStep

PLATFORMS = ("cpu", "cuda")


def export_programs(config: Config, folder: str, batch: np.ndarray) -> None:
    """Writes PROGRAM.PLATFORM for each program and platform, task.json and state.npz.

    The programs take and return flat lists of arrays, in the order of the trainer's own:
        discriminator, generator: their `Weights`, images, labels, batch number and group to
            gradients, statistics and metrics;
        draw: G's `Weights` and latents to images; discriminate: D's `Weights` and images to logits.

    Args:
        config: one group a step, a task that `Task` knows.
        folder: made if it is not there.
        batch: that the run will train on, uint8 [B, H, W, C].
    """
    config.train.convolutions, config.train.jit_compile = "plain", "true"  # as on GPUs
    jax.config.update("jax_enable_x64", True)  # batch numbers are int64
    Path(folder).mkdir(parents=True, exist_ok=True)
    gan = build_gan(config, total_steps=1)
    step = AdversarialStep(gan, config, tf.distribute.get_strategy())
    arguments = arguments_of(gan.generator, gan.discriminator, config)
    generator, discriminator, group = arguments
    latents = tf.zeros([config.group_size, config.model.latent_dim])
    programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "discriminator": (
            lambda *given: step.discriminator_gradients(*given, with_penalty=False),
            arguments,
        ),
        "generator": (step.generator_gradients, arguments),
        "draw": (
            lambda weights, z: gan.generator.stateless_call(*weights, z, training=True)[0],
            (generator, latents),
        ),
        "discriminate": (
            lambda weights, x: gan.discriminator.stateless_call(*weights, x, training=True)[0],
            (discriminator, tf.cast(group.images, tf.float32)),
        ),
    }
    for name, (function, given) in programs.items():
        for platform in PLATFORMS:
            Path(folder, f"{name}.{platform}").write_bytes(_exported(function, given, platform))
    Path(folder, "task.json").write_text(json.dumps(dataclasses.asdict(Task.of(config))))
    _write_state(folder, generator, discriminator, batch)


def _exported(function: Callable[..., Any], given: tuple[Any, ...], platform: str) -> bytes:
    """The function of flat arguments, serialized."""

    @tf.function(jit_compile=True, autograph=False)
    def flat_function(*flat: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(function(*tf.nest.pack_sequence_as(given, flat)))

    flat = [np.asarray(array) for array in tf.nest.flatten(given)]
    # An effect could be read back only where jax2tf, and so TensorFlow, is imported.
    pure = jax2tf.call_tf(flat_function, has_side_effects=False)
    exporter = export.export(jax.jit(pure), platforms=[platform])
    return bytes(exporter(*flat).serialize())


def _write_state(folder: str, generator: Any, discriminator: Any, batch: np.ndarray) -> None:
    """G's and D's weights, each in its order, and a batch of images."""
    arrays = {"images": batch}
    for name, weights in (("g", generator), ("d", discriminator)):
        for kind, values in (("t", weights.trainable), ("n", weights.non_trainable)):
            arrays |= {f"{name}{kind}{i:02d}": value.numpy() for i, value in enumerate(values)}
    np.savez(Path(folder, "state.npz"), **arrays)  # type: ignore[arg-type]
