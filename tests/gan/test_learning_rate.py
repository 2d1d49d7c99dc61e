import numpy as np
import pytest

from tests.helpers.tiny import tiny_config
from trainer.config_sections import OptimizerConfig
from trainer.gan.build import build_gan
from trainer.gan.learning_rate import WarmupThenDecay

COSINE = [(1 + np.cos(np.pi * step / 8)) / 2 for step in (0, 2, 4, 8)]


@pytest.mark.parametrize(
    "config, steps, by_hand",
    [
        (OptimizerConfig("sgd", 0.3), [0, 1, 10**6], [0.3, 0.3, 0.3]),
        (OptimizerConfig("sgd", 1.0, 4), [0, 1, 3, 4, 100], [0.25, 0.5, 1, 1, 1]),
        (OptimizerConfig("sgd", 2.0, 2, "linear", 10, 0.5), [0, 2, 7, 12, 99], [1, 2, 1.5, 1, 1]),
        (OptimizerConfig("sgd", 1.0, 0, "cosine", 8), [0, 2, 4, 8], COSINE),
        (OptimizerConfig("sgd", 1.0, 4, "linear"), [3, 4, 12, 20, 99], [1, 1, 0.5, 0, 0]),
        (OptimizerConfig("sgd", 1.0, 30, "linear"), [0, 29, 30, 31], [1 / 30, 1, 1, 0]),
    ],
    ids=["constant", "warm-up", "linear", "cosine", "to the end", "all warm-up"],
)
def test_by_hand(config: OptimizerConfig, steps: list[int], by_hand: list[float]) -> None:
    schedule = WarmupThenDecay(config, total_updates=20)
    found = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(found, by_hand, rtol=1e-7, atol=1e-7)


def test_each_network_falls_over_its_own_updates() -> None:
    config = tiny_config()
    config.train.discriminator_steps = 3
    for optimizer in (config.optimizer.generator, config.optimizer.discriminator):
        optimizer.name, optimizer.learning_rate, optimizer.schedule = "sgd", 1.0, "linear"
    gan = build_gan(config, total_steps=10)
    for optimizer, half in ((gan.generator_optimizer, 5), (gan.discriminator_optimizer, 15)):
        optimizer.iterations.assign(half)
        np.testing.assert_allclose(float(optimizer.learning_rate), 0.5)
