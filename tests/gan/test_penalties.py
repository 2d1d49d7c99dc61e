import numpy as np
import pytest
import tensorflow as tf

from trainer.gan.keyed_random import Purpose, group_key, uniform
from trainer.gan.penalties import PENALTIES, gradient_norms

KEY = group_key(0, Purpose.PENALTY_POINTS, 0, 0)
SHAPE = (3, 2, 2, 1)


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 5))


def critic(weights: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """A small smooth network, float64 [3]."""
    hidden = tf.tanh(tf.reshape(images, (-1, 4)) @ weights)
    return tf.reduce_sum(hidden**2 + hidden, axis=1)


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, SHAPE)


def penalty(name: str, weights: tf.Tensor) -> tf.Tensor:
    real, fake = tf.constant(images(1)), tf.constant(images(2))
    return PENALTIES[name](lambda x: critic(weights, x), real, fake, KEY)


def numeric_norms(weights: np.ndarray, points: np.ndarray) -> np.ndarray:
    """||d critic / dx|| of each image by central differences, float64 [3]."""
    squares = np.zeros(len(points))
    for place in np.ndindex(points.shape[1:]):
        step = np.zeros(SHAPE)
        step[(slice(None), *place)] = 1e-5
        ahead, behind = (critic(tf.constant(weights), points + s).numpy() for s in (step, -step))
        squares += ((ahead - behind) / 2e-5) ** 2
    return np.sqrt(squares)


def test_values_against_finite_differences(weights: np.ndarray) -> None:
    real, fake = images(1), images(2)
    between = real + uniform(KEY, (3, 1, 1, 1)).numpy() * (fake - real)
    numbers = uniform(KEY, (3, 5)).numpy().astype(np.float64)
    noise = numbers[:, 1:].reshape(SHAPE)
    near = real + numbers[:, :1, None, None] * 0.5 * real.std() * noise
    by_hand = {
        "wgan_gp": (numeric_norms(weights, between) - 1) ** 2,
        "dragan": (numeric_norms(weights, near) - 1) ** 2,
        "r1": numeric_norms(weights, real) ** 2 / 2,
        "r2": numeric_norms(weights, fake) ** 2 / 2,
        "r1_r2": (numeric_norms(weights, real) ** 2 + numeric_norms(weights, fake) ** 2) / 2,
    }
    assert set(by_hand) == set(PENALTIES)
    for name, hand in by_hand.items():
        np.testing.assert_allclose(penalty(name, tf.constant(weights)), hand, rtol=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_with_respect_to_weights(name: str, weights: np.ndarray) -> None:
    variable = tf.Variable(weights)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(penalty(name, variable))
    gradient = tape.gradient(total, variable).numpy()
    for place in [(0, 0), (3, 4), (2, 1)]:
        step = np.zeros_like(weights)
        step[place] = 1e-6
        ahead, behind = (
            tf.reduce_sum(penalty(name, tf.constant(weights + s))).numpy() for s in (step, -step)
        )
        np.testing.assert_allclose(gradient[place], (ahead - behind) / 2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_flat_critic_has_a_finite_gradient(name: str) -> None:
    variable = tf.Variable(np.zeros((4, 5)))
    with tf.GradientTape() as tape:
        values = penalty(name, variable)
    np.testing.assert_array_equal(values, 1.0 if name in ("wgan_gp", "dragan") else 0.0)
    np.testing.assert_array_equal(tape.gradient(values, variable), 0.0)


def test_norms_are_of_each_image_alone() -> None:
    """Not of the batch: one image with a steep critic must not raise the others' norms."""
    slopes = tf.constant([1.0, 10.0, 100.0])
    norms = gradient_norms(
        lambda x: slopes * tf.reduce_sum(x, axis=[1, 2, 3]), tf.zeros(SHAPE, tf.float32)
    )
    np.testing.assert_allclose(norms, [2.0, 20.0, 200.0])
