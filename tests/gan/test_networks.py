from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import Config, ModelConfig, TrainConfig
from trainer.gan.build import build_discriminator, build_generator
from trainer.gan.networks import Discriminator, Generator


def config(seed: int = 0, **changes: Any) -> Config:
    settings: dict[str, Any] = dict(latent_dim=16, batch_norm_momentum=0.9)
    return Config(
        seed=seed,
        model=ModelConfig(**(settings | changes)),
        train=TrainConfig(convolutions="plain"),
    )


def generator(
    filters: tuple[int, ...] = (8, 8, 4), class_embedding_dim: int = 0, **changes: Any
) -> Generator:
    if "norm" in changes:
        changes["generator_norm"] = changes.pop("norm")
    return build_generator(
        config(generator_filters=filters, class_embedding_dim=class_embedding_dim, **changes)
    )


def discriminator(filters: tuple[int, ...] = (4, 8), **changes: Any) -> Discriminator:
    return build_discriminator(config(discriminator_filters=filters, **changes))


@pytest.mark.parametrize(
    "resolution, filters",
    [(28, (8, 8, 4)), (32, (8, 8, 4, 4)), (64, (8, 8, 4, 4, 4)), (128, (8, 8, 4, 4, 4, 4))],
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("manner", ["transposed", "resize", "resnet"])
def test_shapes_and_ranges(
    resolution: int, filters: tuple[int, ...], channels: int, manner: str
) -> None:
    shape: dict[str, Any] = dict(resolution=resolution, channels=channels)
    shape["architecture"] = "resnet" if manner == "resnet" else "dcgan"
    upsampling = "resize" if manner == "resize" else "transposed"
    made = generator(filters=filters, upsampling=upsampling, **shape)
    latents = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    images = made(latents, training=True).numpy()
    assert images.shape == (4, resolution, resolution, channels)
    assert made.image_shape == images.shape[1:]
    assert images.min() >= -1 and images.max() <= 1 and images.std() > 0
    critic = discriminator(filters=filters[1:], **shape)
    assert critic(images).shape == (4,)


def test_weights_of_the_seed_model_counted_by_hand() -> None:
    made = generator(latent_dim=256, filters=(128, 128, 64))
    dense = 256 * 6272 + 6272
    blocks = 4 * 4 * 128 * 128 + 4 * 128 + 4 * 4 * 128 * 64 + 4 * 64
    assert made.count_params() == dense + blocks + 5 * 5 * 64 + 1
    critic = discriminator(filters=(64, 128))
    assert critic.count_params() == 16 * 64 + 64 + 16 * 64 * 128 + 128 + 7 * 7 * 128 + 1


def test_a_stem_and_a_hidden_dense_layer_by_hand() -> None:
    plain = discriminator(filters=(4, 8))
    critic = discriminator(
        filters=(4, 8), discriminator_stem_filters=2, discriminator_dense_units=5
    )
    stem, blocks, features = 9 * 2 + 2, 16 * 2 * 4 + 4 + 16 * 4 * 8 + 8, 7 * 7 * 8
    assert critic.count_params() == stem + blocks + features * 5 + 5 + 5 + 1
    assert plain.count_params() == 16 * 4 + 4 + 16 * 4 * 8 + 8 + features + 1

    def leaky_relu(values: np.ndarray) -> np.ndarray:
        return np.where(values > 0, values, 0.2 * values)

    images = np.random.default_rng(0).uniform(-1, 1, (2, 28, 28, 1)).astype(np.float32)
    kernel = critic.stem.get_weights()[0]
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    hidden = leaky_relu(np.einsum("bhwcij,ijcf->bhwf", windows, kernel))
    for block in critic.blocks:
        hidden = block(hidden)
    kernel, bias = critic.hidden_dense.get_weights()
    hidden = leaky_relu(hidden.numpy().reshape(2, -1) @ kernel + bias)
    kernel, bias = critic.head.get_weights()
    np.testing.assert_allclose(critic(images), hidden @ kernel[:, 0] + bias, rtol=1e-4, atol=1e-5)


def test_a_hidden_dense_layer_of_the_generator_by_hand() -> None:
    made = generator(latent_dim=3, filters=(4, 8), resolution=8, generator_dense_units=5)
    hidden, project = 3 * 5 + 5, 5 * 4 * 4 * 4 + 4 * 4 * 4
    norms, rest = 4 * 4 + 4 * 8, 16 * 4 * 8 + 25 * 8 + 1
    assert made.count_params() == hidden + project + norms + rest
    assert generator(latent_dim=3, filters=(4, 8), resolution=8).normalization is None

    def leaky_relu(values: np.ndarray) -> np.ndarray:
        return np.where(values > 0, values, 0.2 * values)

    latents = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    kernel, bias = made.hidden_dense.get_weights()
    first = leaky_relu(latents @ kernel + bias)
    kernel, bias = made.project.get_weights()
    first = (first @ kernel + bias).reshape(6, 4, 4, 4)
    deviation = np.sqrt(first.var(axis=(0, 1, 2)) + 1e-3)
    first = leaky_relu((first - first.mean(axis=(0, 1, 2))) / deviation)
    images = np.tanh(made.to_image(made.blocks[0](first, training=True)))
    np.testing.assert_allclose(made(latents, training=True), images, rtol=1e-4, atol=1e-5)


def test_residual_weights_counted_by_hand() -> None:
    made = generator(architecture="resnet", filters=(8, 6), resolution=8, latent_dim=3)
    block = 4 * 8 + 9 * 8 * 6 + 4 * 6 + 9 * 6 * 6 + 8 * 6  # norm, conv, norm, conv, shortcut
    assert made.count_params() == 3 * 128 + 128 + block + 4 * 6 + 9 * 6 + 1
    critic = discriminator(architecture="resnet", filters=(4, 8))
    first = (9 * 4 + 4) + (9 * 16 + 4) + (4 + 4)
    second = (9 * 32 + 8) + (9 * 64 + 8) + (32 + 8)
    assert critic.count_params() == first + second + 8 + 1


@pytest.mark.parametrize("architecture", ["dcgan", "resnet"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_nothing_in_front_of_a_normalisation_has_a_bias(architecture: str, norm: str) -> None:
    """With such a bias, the gradient would be rounding noise."""
    made = generator(architecture=architecture, norm=norm)
    latents = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    with tf.GradientTape() as tape:
        images = made(latents, training=True)
        loss = tf.reduce_sum(images * np.random.default_rng(1).normal(size=images.shape))
    gradients = tape.gradient(loss, [v.value for v in made.trainable_variables])
    if norm == "batch":
        assert all(np.abs(gradient).max() > 1e-4 for gradient in gradients)
    assert any(v.path.endswith("bias") for v in generator(norm="none").blocks[0].variables)


@pytest.mark.parametrize("architecture", ["dcgan", "resnet"])
def test_labels_change_images_and_logits(architecture: str) -> None:
    made = generator(architecture=architecture, num_classes=3, class_embedding_dim=4)
    latents = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    zeros, twos = (tf.fill([2], label) for label in (0, 2))
    images = made(latents, zeros)
    np.testing.assert_array_equal(images, made(latents, zeros))
    assert np.abs(images - made(latents, twos)).max() > 1e-3
    critic = discriminator(architecture=architecture, num_classes=3)
    assert np.abs(critic(images, zeros) - critic(images, twos)).min() > 1e-4


def test_the_projection_by_hand() -> None:
    critic = discriminator(num_classes=3)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 28, 28, 1)).astype(np.float32)
    hidden = images
    for block in critic.blocks:
        hidden = block(hidden)
    head, bias = critic.head.get_weights()
    plain = hidden.numpy().reshape(2, -1) @ head[:, 0] + bias
    rows = critic.projection.get_weights()[0][[2, 1]]
    hand = plain + (rows * hidden.numpy().mean((1, 2))).sum(1)
    np.testing.assert_allclose(critic(images, tf.constant([2, 1])), hand, rtol=1e-4, atol=1e-5)


def test_initial_weights_are_a_function_of_the_seed() -> None:
    def kernels(seed: int) -> list[np.ndarray]:
        return [w for w in generator(seed=seed).get_weights() if w.ndim > 1]

    for again, same, other in zip(kernels(1), kernels(1), kernels(2), strict=True):
        np.testing.assert_array_equal(again, same)
        assert (again != other).any()
    first, second = (discriminator(filters=(4, 4)).get_weights()[i] for i in (0, 2))
    assert not np.array_equal(first[:, :, 0], second[:, :, 0])
