import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from trainer.choices import ObjectiveName
from trainer.gan.losses import binary_cross_entropy, make_objective

REAL = np.array([0.0, 2.0, -3.0, 30.0, -30.0])
FAKE = np.array([1.0, -1.5, 0.5, -30.0, 30.0])


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]
# name: D's loss an example, whose mean is D's loss; G's loss an example.
FORMULAS: dict[str, tuple[Formula, Formula]] = {
    "bce": (
        lambda r, f: (0.9 * softplus(-r) + 0.1 * softplus(r) + softplus(f)) / 2,
        lambda f, r: softplus(-f),
    ),
    "non_saturating": (lambda r, f: softplus(-r) + softplus(f), lambda f, r: softplus(-f)),
    "minimax": (lambda r, f: softplus(-r) + softplus(f), lambda f, r: np.log(1 / (1 + np.exp(f)))),
    "least_squares": (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda f, r: (f - 1) ** 2 / 2),
    "hinge": (lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda f, r: -f),
    "wasserstein": (lambda r, f: f - r, lambda f, r: -f),
    "relativistic_average": (
        lambda r, f: softplus(-(r - f.mean())) + softplus(f - r.mean()),
        lambda f, r: softplus(-(f - r.mean())) + softplus(r - f.mean()),
    ),
    "relativistic_paired": (lambda r, f: softplus(-(r - f)), lambda f, r: softplus(-(f - r))),
}


@pytest.mark.parametrize("name", get_args(ObjectiveName))
def test_formulas(name: str) -> None:
    objective = make_objective(name, real_label=0.9)
    real, fake = (tf.constant(v, tf.float32) for v in (REAL, FAKE))
    of_discriminator, of_generator = FORMULAS[name]
    halves = objective.discriminator(real, fake)
    loss = objective.half_weight * sum(np.mean(half) for half in halves)
    np.testing.assert_allclose(loss, np.mean(of_discriminator(REAL, FAKE)), rtol=1e-5)
    np.testing.assert_allclose(
        objective.generator(fake, real), of_generator(FAKE, REAL), rtol=1e-5, atol=1e-6
    )


def test_only_relativistic_generators_look_at_real_images() -> None:
    fake = tf.constant(FAKE, tf.float32)
    for name in get_args(ObjectiveName):
        objective = make_objective(name)
        one, other = (objective.generator(fake, tf.fill([5], value)) for value in (0.0, 3.0))
        assert objective.relativistic == bool(np.any(one.numpy() != other.numpy())), name


def test_values_computed_by_hand() -> None:
    logits = tf.constant([0.0, 2.0, -3.0, 100.0, -100.0])
    # -log(sigmoid(2)) = log(1 + e^-2)
    hand = [math.log(2), math.log1p(math.exp(-2)), math.log1p(math.exp(3)), 0.0, 100.0]
    np.testing.assert_allclose(binary_cross_entropy(logits, 1.0), hand, rtol=1e-6, atol=1e-12)
    hand = [math.log(2), math.log1p(math.exp(2)), math.log1p(math.exp(-3)), 100.0, 0.0]
    np.testing.assert_allclose(binary_cross_entropy(logits, 0.0), hand, rtol=1e-6, atol=1e-12)


def test_smoothed_loss_is_least_where_the_probability_is_the_label() -> None:
    logits = np.linspace(-5, 5, 10001, dtype=np.float32)
    best = logits[np.argmin(binary_cross_entropy(tf.constant(logits), 0.9))]
    np.testing.assert_allclose(1 / (1 + math.exp(-best)), 0.9, atol=1e-3)
