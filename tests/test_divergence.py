"""Rolling back, with a step that reports NaN for chosen batches."""

import dataclasses
from pathlib import Path

import pytest
import tensorflow as tf

from tests.conftest import make_strategy_of
from tests.helpers.tiny import tiny_config
from trainer.config import Config
from trainer.errors import DivergedError
from trainer.gan.gradients import Metrics
from trainer.gan.step import AdversarialStep, Batch
from trainer.train import train


@dataclasses.dataclass
class Training:
    """Of the tiny config, with rollbacks, in a folder of its own."""

    config: Config
    run_dir: Path
    bad: set[int] = dataclasses.field(default_factory=set)
    """The batches that give NaN."""
    seen: list[int] = dataclasses.field(default_factory=list)
    """All batches that were trained on."""

    def run(self, bad: set[int]) -> None:
        self.bad = bad
        train(self.config, make_strategy_of(1), str(self.run_dir))


@pytest.fixture
def training(tiny_records: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    config = tiny_config(tiny_records)
    config.train.steps, config.train.jit_compile = 12, "false"
    config.train.on_divergence = "rollback"
    training = Training(config, tmp_path)

    class Poisoned(AdversarialStep):
        def __call__(self, taken: list[Batch], stop: tf.Tensor) -> tuple[Metrics, tf.Tensor]:
            batch = int((self.gan.step + self.gan.batches_skipped).numpy())
            training.seen.append(batch)
            metrics, stops = super().__call__(taken, stop)
            if batch in training.bad:
                metrics["loss/generator"] = tf.constant(float("nan"))
            return metrics, stops

    monkeypatch.setattr("trainer.loop.AdversarialStep", Poisoned)
    return training


def test_stop_is_the_default(training: Training) -> None:
    training.config.train.on_divergence = "stop"
    with pytest.raises(DivergedError, match=r"loss/generator is nan at step 7.*step-4"):
        training.run(bad={6})


def test_rollback_leaves_the_bad_batches_out(training: Training) -> None:
    training.run(bad={6})
    # Batch 6 is step 7, found at step 8, where the interval ends; step 4 was saved.
    assert training.seen == [*range(8), *range(8, 16)]
    reader = tf.train.load_checkpoint(str(training.run_dir / "checkpoints"))
    counters = {
        name: int(reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE"))
        for name in ("step", "batches_skipped", "rollbacks")
    }
    assert counters == {"step": 12, "batches_skipped": 4, "rollbacks": 1}


def test_rollbacks_come_to_an_end(training: Training) -> None:
    training.config.train.rollbacks_at_most = 2
    with pytest.raises(DivergedError, match="after 2 rollbacks"):
        training.run(bad=set(range(6, 100)))
    assert training.seen == [*range(8), *range(8, 10), *range(10, 12)]


def test_no_checkpoint_to_go_back_to(training: Training) -> None:
    with pytest.raises(DivergedError, match=r"at step 2; there is no last good .* to start anew"):
        training.run(bad={1})
