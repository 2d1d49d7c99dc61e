"""The task in JAX with Flax and Optax, one jitted step with donated state."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.peers.peer import Arrays, Peer
from bench.task import (
    BATCH_NORM_EPSILON,
    BLOCK_KERNEL,
    OUTPUT_KERNEL,
    RMSPROP_DECAY,
    RMSPROP_EPSILON,
    Task,
)

_BLOCK = (BLOCK_KERNEL, BLOCK_KERNEL)


class Generator(nn.Module):
    """[B, latent_dim] to [B, R, R, 1]."""

    task: Task

    @nn.compact
    def __call__(self, latents: jax.Array) -> jax.Array:
        """Images; BatchNorm in training mode."""
        task = self.task
        first, *others = task.generator_filters
        hidden = nn.Dense(task.base**2 * first)(latents)
        hidden = hidden.reshape(-1, task.base, task.base, first)
        for filters in others:
            hidden = nn.ConvTranspose(
                filters, _BLOCK, (2, 2), use_bias=False, transpose_kernel=True
            )(hidden)
            hidden = nn.BatchNorm(
                use_running_average=False,
                momentum=task.batch_norm_momentum,
                epsilon=BATCH_NORM_EPSILON,
            )(hidden)
            hidden = nn.leaky_relu(hidden, task.leaky_relu_slope)
        return jnp.tanh(nn.Conv(1, (OUTPUT_KERNEL, OUTPUT_KERNEL))(hidden))


class Discriminator(nn.Module):
    """[B, R, R, 1] to logits [B]."""

    task: Task

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Logits; with dropout in training."""
        hidden = images
        for filters in self.task.discriminator_filters:
            hidden = nn.leaky_relu(nn.Conv(filters, _BLOCK, 2)(hidden), self.task.leaky_relu_slope)
        hidden = nn.Dropout(self.task.dropout_rate, deterministic=not train)(hidden)
        return nn.Dense(1)(hidden.reshape(len(hidden), -1))[:, 0]


class State(NamedTuple):
    """All that a step changes."""

    generator: Any
    statistics: Any
    discriminator: Any
    generator_optimizer: Any
    discriminator_optimizer: Any
    key: jax.Array


class JaxPeer(Peer):
    """One jitted step."""

    def __init__(self, task: Task, images: np.ndarray) -> None:
        self.task = task
        self.generator, self.discriminator = Generator(task), Discriminator(task)
        rmsprop = functools.partial(
            optax.rmsprop, decay=RMSPROP_DECAY, eps=RMSPROP_EPSILON, eps_in_sqrt=True
        )
        self.generator_optimizer = rmsprop(task.generator_learning_rate)
        self.discriminator_optimizer = rmsprop(task.discriminator_learning_rate)
        self.real = jnp.asarray(images, jnp.float32) / 127.5 - 1.0
        self.train_step = jax.jit(self._train_step, donate_argnums=0)
        key = jax.random.key(0)
        of_generator = self.generator.init(key, jnp.zeros((1, task.latent_dim)))
        of_discriminator = self.discriminator.init(key, self.real, train=False)
        self.state = State(
            of_generator["params"],
            of_generator["batch_stats"],
            of_discriminator["params"],
            self.generator_optimizer.init(of_generator["params"]),
            self.discriminator_optimizer.init(of_discriminator["params"]),
            key,
        )

    def load(self, generator: Arrays, discriminator: Arrays) -> None:
        """Takes over initial weights."""
        dense, bias, *blocks, kernel, image_bias = generator
        of_generator = {
            "Dense_0": {"kernel": dense, "bias": bias},
            "Conv_0": {"kernel": kernel, "bias": image_bias},
        }
        for number in range(len(blocks) // 3):
            transposed, scale, offset = blocks[3 * number : 3 * number + 3]
            of_generator[f"ConvTranspose_{number}"] = {"kernel": transposed}
            of_generator[f"BatchNorm_{number}"] = {"scale": scale, "bias": offset}
        *blocks, head, head_bias = discriminator
        of_discriminator = {"Dense_0": {"kernel": head, "bias": head_bias}}
        for number in range(len(blocks) // 2):
            of_discriminator[f"Conv_{number}"] = {
                "kernel": blocks[2 * number],
                "bias": blocks[2 * number + 1],
            }
        self.state = self.state._replace(
            generator=jax.tree.map(jnp.array, of_generator),
            discriminator=jax.tree.map(jnp.array, of_discriminator),
        )

    def weights(self) -> tuple[Arrays, Arrays]:
        """Copies of G's and D's trainable weights."""
        generator, discriminator = (
            [np.array(leaf) for leaf in jax.tree.leaves(parameters)]
            for parameters in (self.state.generator, self.state.discriminator)
        )
        return generator, discriminator

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """G in training mode."""
        return np.asarray(self._generate(self.state.generator, self.state.statistics, latents)[0])

    def discriminate(self, images: np.ndarray) -> np.ndarray:
        """D without dropout."""
        parameters = {"params": self.state.discriminator}
        return np.asarray(self.discriminator.apply(parameters, images, train=False))

    def step(self) -> None:
        """Starts one step."""
        self.state, self.last_losses = self.train_step(self.state, self.real)

    def _generate(self, parameters: Any, statistics: Any, latents: Any) -> tuple[jax.Array, Any]:
        variables = {"params": parameters, "batch_stats": statistics}
        images, updates = self.generator.apply(variables, latents, mutable=["batch_stats"])
        return images, updates["batch_stats"]

    def _discriminate(self, parameters: Any, images: jax.Array, key: jax.Array) -> jax.Array:
        return self.discriminator.apply(
            {"params": parameters}, images, train=True, rngs={"dropout": key}
        )

    def _train_step(
        self, state: State, real: jax.Array
    ) -> tuple[State, tuple[jax.Array, jax.Array]]:
        key, *keys = jax.random.split(state.key, 5)
        shape = (self.task.batch_size, self.task.latent_dim)
        fake, _ = self._generate(
            state.generator, state.statistics, jax.random.normal(keys[0], shape)
        )

        def discriminator_loss(parameters: Any) -> jax.Array:
            logits = self._discriminate(parameters, jnp.concatenate([real, fake]), keys[1])
            real_logits, fake_logits = jnp.split(logits, 2)
            return 0.5 * (_bce(real_logits, self.task.real_label) + _bce(fake_logits, 0.0))

        of_discriminator, gradients = jax.value_and_grad(discriminator_loss)(state.discriminator)
        updates, discriminator_optimizer = self.discriminator_optimizer.update(
            gradients, state.discriminator_optimizer
        )
        discriminator = optax.apply_updates(state.discriminator, updates)

        def generator_loss(parameters: Any) -> tuple[jax.Array, Any]:
            latents = jax.random.normal(keys[2], shape)
            drawn, statistics = self._generate(parameters, state.statistics, latents)
            return _bce(self._discriminate(discriminator, drawn, keys[3]), 1.0), statistics

        (of_generator, statistics), gradients = jax.value_and_grad(generator_loss, has_aux=True)(
            state.generator
        )
        updates, generator_optimizer = self.generator_optimizer.update(
            gradients, state.generator_optimizer
        )
        generator = optax.apply_updates(state.generator, updates)
        new = State(
            generator, statistics, discriminator, generator_optimizer, discriminator_optimizer, key
        )
        return new, (of_generator, of_discriminator)


def _bce(logits: jax.Array, label: float) -> jax.Array:
    return optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, label)).mean()
