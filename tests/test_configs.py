"""A tiny run of every file in configs/."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_strategy_of
from tests.helpers.examples import pixels, prepared
from trainer.config import Config
from trainer.train import train

NAMES = sorted(path.stem for path in (Path(__file__).parent.parent / "configs").glob("*.py"))


def shrunk(config: Config, records_dir: str) -> Config:
    """The same recipe with few channels and two steps."""
    config.validate()
    model, every = config.model, config.train
    model.generator_filters = tuple(count // 16 for count in model.generator_filters)
    model.discriminator_filters = tuple(count // 16 for count in model.discriminator_filters)
    config.data.records_dir = records_dir
    every.global_batch_size, every.steps, every.grid_images = 4, 2, 4
    every.jit_compile = "false"
    config.evaluation.every_epochs = 0  # 30 images are too few
    every.discriminator_steps = min(every.discriminator_steps, 2)
    return config


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_run(name: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config()
    side, channels = config.model.resolution, config.model.channels
    records = prepared(tmp_path, pixels(30, side, side, channels), np.arange(30) % 10)
    train(shrunk(config, records), make_strategy_of(1), str(tmp_path / "run"))
    assert (tmp_path / "run/samples/epoch_0001.png").exists()
    assert (tmp_path / "run/checkpoints/step-2.index").exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_gives_command_time_and_result(name: str) -> None:
    text = importlib.import_module(f"configs.{name}").__doc__ or ""
    for word in ("Command:", f"--config=configs/{name}.py", "Time:", "Result:"):
        assert word in text or (name == "digits" and "make train" in text), word
    assert "TIME" not in text and "RESULT" not in text
