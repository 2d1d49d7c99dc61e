"""The DCGAN generator and discriminator (Radford et al. 2015)."""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from trainer.gan.layers import KeyedDropout

_KERNEL_SIZE = 4  # a multiple of the stride: transposed convolutions overlap evenly
_OUTPUT_KERNEL_SIZE = 5
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


class Discriminator(keras.Model):
    """Tells real images from generated ones."""

    def __init__(
        self, features: list[keras.layers.Layer], dropout_rate: float, policy: str, seed: int
    ) -> None:
        super().__init__()
        self.features = features
        self.dropout = KeyedDropout(dropout_rate, dtype=policy)
        self.flatten = keras.layers.Flatten(dtype=policy)
        self.head = keras.layers.Dense(1, dtype=policy, kernel_initializer=_glorot(seed))

    def call(self, images: tf.Tensor, dropout_key: tf.Tensor | None = None) -> tf.Tensor:
        """Logits of being real.

        Args:
            images: [B, R, R, C] float32 in [-1, 1].
            dropout_key: [2] int64, a `keyed_random.group_key`; None: no dropout.

        Returns:
            [B] float32.
        """
        hidden = images
        for layer in self.features:
            hidden = layer(hidden)
        hidden = self.flatten(self.dropout(hidden, dropout_key))
        return tf.cast(tf.squeeze(self.head(hidden), axis=1), tf.float32)

    def probability(self, images: tf.Tensor) -> tf.Tensor:
        """Probability of being real, [B] float32 in (0, 1), without dropout."""
        return tf.sigmoid(self(images))


def build_generator(
    *,
    resolution: int,
    channels: int,
    latent_dim: int,
    filters: tuple[int, ...],
    leaky_relu_slope: float,
    batch_norm_momentum: float,
    precision: str = "float32",
    seed: int,
) -> keras.Sequential:
    """Builds G: latents [B, latent_dim] float32 to images [B, R, R, C] float32 in [-1, 1].

    A dense layer gives R / 2^n pixels a side with `filters[0]` channels; each of
    the n further entries is a block (transposed convolution, BatchNormalization,
    LeakyReLU) that doubles the resolution; a convolution and tanh end it. A layer
    in front of a normalisation has no bias: its gradient would be zero but for
    rounding, which RMSprop would turn into full steps.

    Args:
        resolution: R, a multiple of 2^n.
        channels: C.
        latent_dim: length of a latent vector.
        filters: n + 1 channel counts.
        leaky_relu_slope: slope below zero.
        batch_norm_momentum: decay of the moving statistics, per step.
        precision: `bfloat16` computes in it; weights, statistics and images stay float32.
        seed: of the initial weights (Glorot uniform).
    """
    seeds, policy = _layer_seeds(seed, network=0), _POLICIES[precision]
    base = resolution // 2 ** (len(filters) - 1)
    model = keras.Sequential(name="generator")
    model.add(keras.Input((latent_dim,)))
    model.add(
        keras.layers.Dense(
            base * base * filters[0], dtype=policy, kernel_initializer=_glorot(next(seeds))
        )
    )
    model.add(keras.layers.Reshape((base, base, filters[0]), dtype=policy))
    for count in filters[1:]:
        model.add(
            keras.layers.Conv2DTranspose(
                count,
                _KERNEL_SIZE,
                strides=2,
                padding="same",
                use_bias=False,
                dtype=policy,
                kernel_initializer=_glorot(next(seeds)),
            )
        )
        model.add(keras.layers.BatchNormalization(momentum=batch_norm_momentum, dtype=policy))
        model.add(keras.layers.LeakyReLU(leaky_relu_slope, dtype=policy))
    model.add(
        keras.layers.Conv2D(
            channels,
            _OUTPUT_KERNEL_SIZE,
            padding="same",
            dtype=policy,
            kernel_initializer=_glorot(next(seeds)),
        )
    )
    model.add(keras.layers.Activation("tanh", dtype="float32"))
    return model


def build_discriminator(
    *,
    resolution: int,
    channels: int,
    filters: tuple[int, ...],
    leaky_relu_slope: float,
    dropout_rate: float,
    precision: str = "float32",
    seed: int,
) -> Discriminator:
    """Builds D: images [B, R, R, C] float32 in [-1, 1] to logits [B].

    Each entry of `filters` is a block (convolution of stride 2, LeakyReLU) that
    halves the resolution; dropout and a dense unit end it.

    Args:
        resolution: R, a multiple of 2^len(filters).
        channels: C.
        filters: channels after each block.
        leaky_relu_slope: slope below zero.
        dropout_rate: share of the last features dropped, where a key is given.
        precision: `bfloat16` computes in it; weights and logits stay float32.
        seed: of the initial weights (Glorot uniform).
    """
    seeds, policy = _layer_seeds(seed, network=1), _POLICIES[precision]
    features: list[keras.layers.Layer] = []
    for count in filters:
        features.append(
            keras.layers.Conv2D(
                count,
                _KERNEL_SIZE,
                strides=2,
                padding="same",
                dtype=policy,
                kernel_initializer=_glorot(next(seeds)),
            )
        )
        features.append(keras.layers.LeakyReLU(leaky_relu_slope, dtype=policy))
    discriminator = Discriminator(features, dropout_rate, policy, next(seeds))
    discriminator(keras.Input((resolution, resolution, channels)))
    return discriminator


def _glorot(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=seed)


def _layer_seeds(seed: int, network: int) -> Iterator[int]:
    generator = np.random.default_rng([seed, network])
    while True:
        yield int(generator.integers(2**31))
