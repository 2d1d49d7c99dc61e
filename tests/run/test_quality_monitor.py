"""Evaluation during training, with the untrained extractor on random images."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import make_strategy_of, real_batch
from tests.helpers.command import metrics
from tests.helpers.tiny import tiny_config
from trainer.config import Config
from trainer.data.tfrecord import read_manifest
from trainer.errors import UserError
from trainer.evaluation import evaluate
from trainer.run.quality_monitor import QualityMonitor
from trainer.train import train


class Drawn:
    """In place of a sampler: images that are given."""

    def __init__(self, images: np.ndarray) -> None:
        self.drawn = images

    def images(self, seed: int, count: int) -> Iterator[np.ndarray]:
        yield self.drawn[:count]

    def labels(self, count: int) -> None:
        """Not conditional."""


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals, which tests/evaluation looks at, take most of an evaluation's time."""
    monkeypatch.setattr(evaluate, "_RESAMPLES", 10)


@pytest.fixture
def config(noisy_records: str) -> Config:
    config = tiny_config(noisy_records)
    config.train.jit_compile = "false"
    config.train.epochs = 2
    config.evaluation.every_epochs = 1
    config.evaluation.images = 150
    config.evaluation.extractor = "random"
    return config


def quality(run: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in line.items() if name.startswith("quality/")}
        for line in metrics(run)
        if any(name.startswith("quality/") for name in line)
    ]


def test_two_replicas_score_as_one_and_all_is_written(config: Config, tmp_path: Path) -> None:
    config.train.jit_compile = "true"
    config.train.global_batch_size, config.train.group_size = 16, 8
    for replicas in (1, 2):
        train(config, make_strategy_of(replicas), str(tmp_path / str(replicas)))
    run = tmp_path / "1"
    assert len(quality(run)) == 2
    assert quality(run) == quality(tmp_path / "2")
    floor = json.loads((run / "quality_floor.json").read_text())
    assert set(floor) == set(quality(run)[0])
    line = next(line for line in metrics(run) if "speed/evaluation_seconds" in line)
    assert 0 < line["speed/evaluation_fraction"] <= 1
    fid = next(name for name in floor if name.startswith("quality/fid_random"))
    values = [line[fid] for line in quality(run)]
    best = tf.train.latest_checkpoint(str(run / "best"))
    assert best.endswith(["step-25", "step-50"][int(np.argmin(values))])
    assert Image.open(run / "nearest.png").size == (8 * 10 + 2, 4 * 10 + 2)


def test_too_few_samples_name_the_field_of_training(config: Config, tmp_path: Path) -> None:
    config.evaluation.images = 100
    manifest = read_manifest(config.data.records_dir)
    with pytest.raises(UserError, match=r"give --config\.evaluation\.images=129 or"):
        QualityMonitor(config, manifest, Drawn(real_batch(0)), str(tmp_path))  # type: ignore[arg-type]


def test_out_of_patience_ends_the_run_and_keeps_it_ended(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.evaluation.patience_evaluations = 1
    monkeypatch.setattr(QualityMonitor, "_evaluations_since_best", lambda self: len(self.history))
    for _ in range(2):  # the second time there is nothing left to do
        train(config, make_strategy_of(1), str(tmp_path))
        assert [line["step"] for line in metrics(tmp_path)][-1] == 50
        assert (tmp_path / "checkpoints/step-50.index").exists()


def monitor(config: Config, images: np.ndarray, run_dir: Path) -> QualityMonitor:
    manifest = read_manifest(config.data.records_dir)
    return QualityMonitor(config, manifest, Drawn(images), str(run_dir))  # type: ignore[arg-type]


def test_the_collapse_alarm(config: Config, tmp_path: Path) -> None:
    """It fires on a constant generator, once an epoch is over, and stays silent on real images."""
    constant = monitor(config, np.full((150, 8, 8, 1), 30, np.uint8), tmp_path)
    assert constant.evaluate(1, epoch=0.9).alarms == []
    assert {alarm.kind for alarm in constant.evaluate(2, epoch=1.0).alarms} == {"collapse"}
    others = real_batch(7, 150) // np.random.default_rng(8).integers(1, 9, (150, 1, 1, 1))
    assert monitor(config, others.astype(np.uint8), tmp_path).evaluate(1, epoch=1.0).alarms == []


def test_features_of_random_weights_are_told_as_such(config: Config, tmp_path: Path) -> None:
    headline = monitor(config, real_batch(7, 150), tmp_path).evaluate(1, epoch=1.0).headline
    assert "fid_random " in headline and "fid " not in headline


def test_patience_counts_from_the_best(config: Config, tmp_path: Path) -> None:
    config.evaluation.patience_evaluations = 2
    watching = monitor(config, real_batch(7, 150), tmp_path)
    for fid, is_out in ((9.0, False), (5.0, False), (6.0, False), (7.0, True), (4.0, False)):
        watching.history.append({"fid": fid})
        assert watching.out_of_patience is is_out


def test_a_measure_that_the_extractor_cannot_take(config: Config, tmp_path: Path) -> None:
    config.evaluation.best_by = "class_kl"
    with pytest.raises(UserError, match=r"evaluation\.best_by is class_kl, which the extractor"):
        monitor(config, real_batch(7, 150), tmp_path)
