import numpy as np
import pytest

from trainer.config_sections import OptimizerConfig
from trainer.gan.learning_rate import WarmupThenDecay

COSINE = [(1 + np.cos(np.pi * step / 8)) / 2 for step in (0, 2, 4, 8)]


@pytest.mark.parametrize(
    "config, steps, by_hand",
    [
        (OptimizerConfig("sgd", 0.3), [0, 1, 10**6], [0.3, 0.3, 0.3]),
        (OptimizerConfig("sgd", 1.0, 4), [0, 1, 3, 4, 100], [0.25, 0.5, 1, 1, 1]),
        (OptimizerConfig("sgd", 2.0, 2, "linear", 10, 0.5), [0, 2, 7, 12, 99], [1, 2, 1.5, 1, 1]),
        (OptimizerConfig("sgd", 1.0, 0, "cosine", 8), [0, 2, 4, 8], COSINE),
    ],
    ids=["constant", "warm-up", "linear", "cosine"],
)
def test_by_hand(config: OptimizerConfig, steps: list[int], by_hand: list[float]) -> None:
    schedule = WarmupThenDecay(config)
    found = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(found, by_hand, rtol=1e-7, atol=1e-7)
