import itertools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from trainer.gan.keyed_random import Purpose, group_key, normal, second_key, uniform

KEY = group_key(3, Purpose.GENERATOR_LATENTS, 5, 1)


def test_keys_never_repeat() -> None:
    parts = ((0, 1, 2**31 - 1), Purpose, (0, 1, 2**40), (0, 1, 2**20 - 1))
    firsts = [group_key(*values) for values in itertools.product(*parts)]
    keys = [tuple(key.numpy()) for first in firsts for key in (first, second_key(first))]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("draw", [uniform, normal])
def test_xla_draws_the_same_numbers(draw: Callable[..., tf.Tensor]) -> None:
    def drawn() -> tf.Tensor:
        return draw(KEY, (16, 100))

    plain, compiled = tf.function(drawn)(), tf.function(drawn, jit_compile=True)()
    # Uniform numbers to the last bit; erfinv differs in rounding.
    np.testing.assert_allclose(plain, compiled, rtol=0 if draw is uniform else 2e-5, atol=1e-6)
    assert (plain.numpy() == compiled.numpy()).all() or draw is normal


def test_uniform_moments_and_range() -> None:
    drawn = uniform(KEY, (8000, 50)).numpy().astype(np.float64)
    assert drawn.min() > 0 and drawn.max() < 1
    np.testing.assert_allclose(drawn.mean(), 1 / 2, atol=4 / np.sqrt(12 * drawn.size))
    np.testing.assert_allclose(drawn.var(), 1 / 12, rtol=0.01)


def test_normal_quantiles() -> None:
    drawn = np.sort(normal(KEY, (8000, 50)).numpy().ravel())
    # Quantiles of the standard normal distribution, from a table.
    for probability, quantile in ((0.5, 0.0), (0.841345, 1.0), (0.977250, 2.0), (0.001350, -3.0)):
        np.testing.assert_allclose(drawn[int(probability * drawn.size)], quantile, atol=0.05)
