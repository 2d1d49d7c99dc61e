"""Our programs, exported as StableHLO, in JAX's runtime; RMSprop by Optax in the same jit."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import export

from bench.peers.peer import Arrays, Peer
from bench.task import RMSPROP_DECAY, RMSPROP_EPSILON, Task

jax.config.update("jax_enable_x64", True)  # batch numbers are int64


class State(NamedTuple):
    """All that a step changes."""

    generator: Any
    statistics: Any
    discriminator: Any
    generator_optimizer: Any
    discriminator_optimizer: Any
    batch: jax.Array


class ExportedPeer(Peer):
    """What bench/export_programs.py wrote."""

    def __init__(self, task: Task, images: np.ndarray, folder: str, platform: str) -> None:
        self.task = task
        self.device = jax.devices(platform)[0]
        self.programs = {
            name: export.deserialize(bytearray(Path(folder, f"{name}.{platform}").read_bytes()))
            for name in ("discriminator", "generator", "draw", "discriminate")
        }
        rmsprop = functools.partial(
            optax.rmsprop, decay=RMSPROP_DECAY, eps=RMSPROP_EPSILON, eps_in_sqrt=True
        )
        self.generator_optimizer = rmsprop(task.generator_learning_rate)
        self.discriminator_optimizer = rmsprop(task.discriminator_learning_rate)
        self.images = jax.device_put(images, self.device)
        self.labels = jax.device_put(np.full(len(images), -1, np.int32), self.device)
        with np.load(Path(folder, "state.npz")) as state:
            arrays = {kind: _of(state, kind) for kind in ("gt", "gn", "dt")}
        self.statistics = arrays["gn"]
        self.train_step = jax.jit(self._train_step, donate_argnums=0)
        self.load(arrays["gt"], arrays["dt"])

    def load(self, generator: Arrays, discriminator: Arrays) -> None:
        """Takes over initial weights."""
        state = State(
            generator,
            self.statistics,
            discriminator,
            self.generator_optimizer.init([jnp.asarray(array) for array in generator]),
            self.discriminator_optimizer.init([jnp.asarray(array) for array in discriminator]),
            np.int64(0),
        )
        self.state = jax.device_put(state, self.device)

    def weights(self) -> tuple[Arrays, Arrays]:
        """Copies of G's and D's trainable weights."""
        generator, discriminator = (
            [np.array(array) for array in arrays]
            for arrays in (self.state.generator, self.state.discriminator)
        )
        return generator, discriminator

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """G in training mode."""
        given = (*self.state.generator, *self.state.statistics, latents)
        return np.asarray(self.programs["draw"].call(*given)[0])

    def discriminate(self, images: np.ndarray) -> np.ndarray:
        """D without dropout."""
        return np.asarray(self.programs["discriminate"].call(*self.state.discriminator, images)[0])

    def step(self) -> None:
        """Starts one step."""
        self.state, self.last_losses = self.train_step(self.state, self.images, self.labels)

    def _train_step(
        self, state: State, images: jax.Array, labels: jax.Array
    ) -> tuple[State, tuple[jax.Array, jax.Array]]:
        of_generator = (*state.generator, *state.statistics)
        fixed = (images, labels, state.batch, jnp.int64(0))
        result = self.programs["discriminator"].call(*of_generator, *state.discriminator, *fixed)
        count = len(state.discriminator)
        updates, discriminator_optimizer = self.discriminator_optimizer.update(
            list(result[:count]), state.discriminator_optimizer
        )
        discriminator = optax.apply_updates(state.discriminator, updates)
        # Metrics come last, by name; D's first is its loss.
        discriminator_loss = result[_METRICS_OF_D.index("loss/discriminator") - len(_METRICS_OF_D)]

        result = self.programs["generator"].call(*of_generator, *discriminator, *fixed)
        count = len(state.generator)
        updates, generator_optimizer = self.generator_optimizer.update(
            list(result[:count]), state.generator_optimizer
        )
        generator = optax.apply_updates(state.generator, updates)
        new = State(
            generator,
            list(result[count:-1]),
            discriminator,
            generator_optimizer,
            discriminator_optimizer,
            state.batch + 1,
        )
        return new, (result[-1], discriminator_loss)


_METRICS_OF_D = sorted(
    [
        "loss/discriminator",
        "loss/discriminator_real",
        "loss/discriminator_fake",
        "discriminator/real_probability",
        "discriminator/fake_probability",
    ]
)


def _of(state: Any, kind: str) -> Arrays:
    return [state[name] for name in sorted(state) if name.startswith(kind)]
