import itertools
from typing import Any

import keras
import numpy as np
import pytest

from trainer.gan.networks import Discriminator, build_discriminator, build_generator


def generator(**changes: Any) -> keras.Sequential:
    settings = dict(
        resolution=28,
        channels=1,
        latent_dim=16,
        filters=(8, 8, 4),
        leaky_relu_slope=0.2,
        batch_norm_momentum=0.9,
        seed=0,
    )
    return build_generator(**(settings | changes))


def discriminator(**changes: Any) -> Discriminator:
    settings = dict(
        resolution=28, channels=1, filters=(4, 8), leaky_relu_slope=0.2, dropout_rate=0.3, seed=0
    )
    return build_discriminator(**(settings | changes))


@pytest.mark.parametrize(
    "resolution, channels, filters", [(28, 1, (8, 8, 4)), (24, 3, (8, 8, 4, 4)), (64, 3, (8, 8))]
)
def test_shapes_and_ranges(resolution: int, channels: int, filters: tuple[int, ...]) -> None:
    made = generator(resolution=resolution, channels=channels, filters=filters)
    latents = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    images = made(latents, training=True).numpy()
    assert images.shape == (4, resolution, resolution, channels)
    assert images.min() >= -1 and images.max() <= 1 and images.std() > 0
    judge = discriminator(resolution=resolution, channels=channels, filters=filters[1:])
    logits = judge(images).numpy()
    assert logits.shape == (4,)
    np.testing.assert_allclose(judge.probability(images), 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_weights_of_the_seed_model_counted_by_hand() -> None:
    made = generator(latent_dim=256, filters=(128, 128, 64))
    dense = 256 * 6272 + 6272
    blocks = 4 * 4 * 128 * 128 + 4 * 128 + 4 * 4 * 128 * 64 + 4 * 64
    assert made.count_params() == dense + blocks + 5 * 5 * 64 + 1
    judge = discriminator(filters=(64, 128))
    assert judge.count_params() == 16 * 64 + 64 + 16 * 64 * 128 + 128 + 7 * 7 * 128 + 1


def test_nothing_in_front_of_a_normalisation_has_a_bias() -> None:
    layers = generator().layers
    for layer, following in itertools.pairwise(layers):
        if type(following).__name__ == "BatchNormalization":
            assert isinstance(layer, keras.layers.Conv2DTranspose) and not layer.use_bias


def test_initial_weights_are_a_function_of_the_seed() -> None:
    def kernels(seed: int) -> list[np.ndarray]:
        return [w for w in generator(seed=seed).get_weights() if w.ndim > 1]

    for again, same, other in zip(kernels(1), kernels(1), kernels(2), strict=True):
        np.testing.assert_array_equal(again, same)
        assert (again != other).any()
    first, second = (discriminator(filters=(4, 4)).get_weights()[i] for i in (0, 2))
    assert not np.array_equal(first[:, :, 0], second[:, :, 0])
