"""Rolling back, with a step that reports NaN for chosen batches."""

from pathlib import Path

import pytest
import tensorflow as tf

from tests.conftest import make_strategy_of
from tests.helpers.tiny import tiny_config
from trainer import train as train_module
from trainer.config import Config
from trainer.errors import DivergedError
from trainer.gan.gradients import Metrics
from trainer.gan.step import AdversarialStep, Batch


def rolling_back(tiny_records: str) -> Config:
    config = tiny_config(tiny_records)
    config.train.steps = 12
    config.train.jit_compile = False
    config.train.on_divergence = "rollback"
    return config


def poison(monkeypatch: pytest.MonkeyPatch, batches: set[int]) -> list[int]:
    """Makes `batches` give NaN; returns the list of all batches that are trained on."""
    seen: list[int] = []

    class Poisoned(AdversarialStep):
        def __call__(self, taken: list[Batch], stop: tf.Tensor) -> tuple[Metrics, tf.Tensor]:
            batch = int((self.gan.step + self.gan.batches_skipped).numpy())
            seen.append(batch)
            metrics, stops = super().__call__(taken, stop)
            if batch in batches:
                metrics["loss/generator"] = tf.constant(float("nan"))
            return metrics, stops

    monkeypatch.setattr("trainer.loop.AdversarialStep", Poisoned)
    return seen


def test_stop_is_the_default(
    tiny_records: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {6})
    config = rolling_back(tiny_records)
    config.train.on_divergence = "stop"
    with pytest.raises(DivergedError, match=r"loss/generator is nan at step 7.*step-4"):
        train_module.train(config, make_strategy_of(1), str(tmp_path))


def test_rollback_leaves_the_bad_batches_out(
    tiny_records: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = poison(monkeypatch, {6})
    train_module.train(rolling_back(tiny_records), make_strategy_of(1), str(tmp_path))
    # Batch 6 is step 7, found at step 8, where the interval ends; step 4 was saved.
    assert seen == [*range(8), *range(8, 16)]
    reader = tf.train.load_checkpoint(str(tmp_path / "checkpoints"))
    counters = {
        name: int(reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE"))
        for name in ("step", "batches_skipped", "rollbacks")
    }
    assert counters == {"step": 12, "batches_skipped": 4, "rollbacks": 1}


def test_rollbacks_come_to_an_end(
    tiny_records: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = poison(monkeypatch, set(range(6, 100)))
    config = rolling_back(tiny_records)
    config.train.rollbacks_at_most = 2
    with pytest.raises(DivergedError, match="after 2 rollbacks"):
        train_module.train(config, make_strategy_of(1), str(tmp_path))
    assert seen == [*range(8), *range(8, 10), *range(10, 12)]


def test_no_checkpoint_to_go_back_to(
    tiny_records: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {1})
    with pytest.raises(DivergedError, match="at step 2"):
        train_module.train(rolling_back(tiny_records), make_strategy_of(1), str(tmp_path))
