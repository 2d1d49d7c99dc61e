import numpy as np

from trainer.config_sections import OptimizerConfig
from trainer.gan.learning_rate import WarmupThenDecay


def values(config: OptimizerConfig, steps: list[int]) -> list[float]:
    schedule = WarmupThenDecay(config)
    return [float(schedule(step)) for step in steps]


def test_constant_from_the_first_update() -> None:
    np.testing.assert_allclose(values(OptimizerConfig(learning_rate=0.3), [0, 1, 10**6]), 0.3)


def test_warm_up_grows_by_equal_steps() -> None:
    rising = OptimizerConfig(learning_rate=1.0, warmup_steps=4)
    np.testing.assert_allclose(values(rising, [0, 1, 3, 4, 100]), [0.25, 0.5, 1, 1, 1])


def test_linear_falls_to_its_share_and_stays() -> None:
    falling = OptimizerConfig("sgd", 2.0, 2, "linear", decay_steps=10, final_share=0.5)
    np.testing.assert_allclose(
        values(falling, [0, 1, 2, 7, 12, 99]), [1.0, 2.0, 2.0, 1.5, 1.0, 1.0], rtol=1e-6
    )


def test_cosine_by_hand() -> None:
    falling = OptimizerConfig("sgd", 1.0, 0, "cosine", decay_steps=8)
    hand = [(1 + np.cos(np.pi * step / 8)) / 2 for step in (0, 2, 4, 8)]
    np.testing.assert_allclose(values(falling, [0, 2, 4, 8]), hand, atol=1e-6)
