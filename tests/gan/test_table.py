"""Every objective with every option, as docs/configs.md promises.

Without XLA, which takes longer; each objective by XLA too is in tests/gan/test_step.py.
"""

from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import build_gan_on, make_strategy_of, run_steps
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import LIPSCHITZ, changed
from trainer.choices import ObjectiveName
from trainer.gan.state import Gan

OPTIONS = {
    "discriminator_steps": {"train.discriminator_steps": 2},
    "penalty": {"loss.penalty": "wgan_gp"},
    "average": {"train.ema_half_life_images": 100},
    "conditional": {"model.num_classes": 3},
    "bfloat16": {"model.precision": "bfloat16"},
}


def weights_of(gan: Gan) -> dict[str, np.ndarray]:
    models = (gan.generator, gan.discriminator)
    return {v.path: v.numpy() for model in models for v in model.trainable_variables}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("objective", get_args(ObjectiveName))
def test_cell(objective: str, option: str) -> None:
    changes = {"loss.objective": objective, "train.group_size": 8, "train.jit_compile": "false"}
    config = changed(tiny_config(), changes | LIPSCHITZ.get(objective, {}) | OPTIONS[option])
    gan = build_gan_on(config, make_strategy_of(1))
    before = weights_of(gan)
    metrics = run_steps(gan, config, 2)
    assert np.isfinite([list(values.values()) for values in metrics]).all()
    for path, now in weights_of(gan).items():
        assert now.ndim == 1 or (now != before[path]).any(), path
        assert now.dtype == np.float32

    if option == "discriminator_steps":
        assert int(gan.discriminator_optimizer.iterations.numpy()) == 4
        assert int(gan.generator_optimizer.iterations.numpy()) == 2
    elif option == "penalty":
        assert metrics[0]["loss/penalty"] > 0
    elif option == "average":
        assert gan.ema is not None
        for average, now in zip(gan.ema.variables, gan.generator.variables, strict=True):
            assert len(now.shape) == 1 or (average.numpy() != now.numpy()).any(), now.path
    elif option == "conditional":
        latents = tf.ones((1, config.model.latent_dim))
        zero, two = (gan.generator(latents, tf.constant([label])) for label in (0, 2))
        assert np.abs(zero - two).max() > 1e-4
    elif option == "bfloat16":
        assert gan.generator.blocks[0].compute_dtype == "bfloat16"
        assert gan.generator(tf.ones((1, config.model.latent_dim))).dtype == tf.float32
