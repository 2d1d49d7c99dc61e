"""Rungs of a sweep, with a stand-in for the trainer that writes made-up scores."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.helpers.variants import changed
from trainer.config import Config
from trainer.errors import UserError
from trainer.run.signals import SignalWatch
from trainer.sweep.climb import Climb, climb
from trainer.sweep.halving import rungs_of
from trainer.sweep.trials import Trial, trials

RATE = "optimizer.generator.learning_rate"


def ladder(
    run_dir: Path, *axes: str, rungs: Sequence[str] = ("2", "20"), **fields: Any
) -> list[list[Trial]]:
    config = changed(Config(), {"evaluation.every_epochs": 1, **fields})
    return rungs_of(trials(config, axes, str(run_dir)), rungs)


@dataclasses.dataclass
class Ended:
    trial: Trial
    exit_code: int


class StandIn:
    """Trains at once: `score` gives the fid of a trial after an epoch, or None where it fails."""

    def __init__(self, score: Callable[[Trial, int], float | None]) -> None:
        self.score = score
        self.started: list[tuple[str, int]] = []

    def __call__(self, waiting: Sequence[Trial]) -> Any:
        return [Ended(trial, self.train(trial)) for trial in waiting]

    def train(self, trial: Trial) -> int:
        folder = Path(trial.run_dir)
        self.started.append((folder.name, trial.epochs))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(trial.config.to_json())
        with open(folder / "metrics.jsonl", "w") as file:
            for epoch in range(1, trial.epochs + 1):
                if (score := self.score(trial, epoch)) is None:
                    return 1
                line = {"step": 10 * epoch, "epoch": epoch, "quality/fid_x": score}
                file.write(json.dumps(line) + "\n")
        return 0


def rate_of(trial: Trial) -> float:
    return trial.config.optimizer.generator.learning_rate


def climbed(of_ladder: list[list[Trial]], stand_in: StandIn) -> Climb:
    return climb(of_ladder, "fid", cast(Any, stand_in), SignalWatch())


def test_the_best_third_by_the_mean_over_seeds_goes_on(tmp_path: Path) -> None:
    # Of seed 1 alone, 7, 6 and 5 would be best.
    def score(trial: Trial, epoch: int) -> float:
        return rate_of(trial) * (1 if trial.config.seed == 2 else -0.5) + 1 / epoch

    rates = f"{RATE}={','.join(map(str, range(1, 8)))}"
    stand_in = StandIn(score)
    found = climbed(ladder(tmp_path, rates, "seed=1,2", rungs=("1", "3", "9")), stand_in)
    first = [(f"{RATE}={rate}_seed={seed}", 1) for rate in range(1, 8) for seed in (1, 2)]
    # A third of 7 and of 3, rounded up.
    second = [(f"{RATE}={rate}_seed={seed}", 3) for rate in (1, 2, 3) for seed in (1, 2)]
    third = [(f"{RATE}=1_seed={seed}", 9) for seed in (1, 2)]
    assert stand_in.started == first + second + third
    rungs = {name[0]: candidate.rung for name, candidate in found.candidates.items()}
    assert rungs == {"1": 3, "2": 2, "3": 2, "4": 1, "5": 1, "6": 1, "7": 1}
    assert (found.rung, found.done, found.of_rung, found.unstarted) == (3, 2, 2, 0)


def test_given_again_it_goes_on_with_the_same_choice(tmp_path: Path) -> None:
    # At the last rung the order is another; the first rung's stays what it was.
    def score(trial: Trial, epoch: int) -> float:
        return rate_of(trial) if epoch <= 2 else -rate_of(trial)

    of_ladder = ladder(tmp_path, f"{RATE}=1,2,3,4")
    climbed(of_ladder, StandIn(score))
    again = StandIn(score)
    found = climbed(of_ladder, again)
    went_on = [(f"{RATE}={rate}", 20) for rate in (1, 2)]
    assert again.started == [(f"{RATE}=3", 2), (f"{RATE}=4", 2), *went_on]
    assert found.candidates[("2",)].results[0].last["quality/fid_x"] == -2
    assert found.candidates[("3",)].results[0].last["quality/fid_x"] == 3


def test_a_run_of_the_whole_length_that_is_not_yet_at_the_rung_is_trained(tmp_path: Path) -> None:
    of_ladder = ladder(tmp_path, f"{RATE}=1,2")
    folder = Path(of_ladder[0][0].run_dir)
    folder.mkdir()
    (folder / "config.json").write_text(of_ladder[1][0].config.to_json())
    stand_in = StandIn(lambda trial, epoch: 1.0)
    climbed(of_ladder, stand_in)
    assert (folder.name, 2) in stand_in.started


def test_a_rate_that_falls_to_the_end_is_trained_anew_in_a_folder_of_the_rung(
    tmp_path: Path,
) -> None:
    of_ladder = ladder(tmp_path, "optimizer.generator.schedule=constant,cosine")
    folders = [[os.path.basename(trial.run_dir) for trial in rung] for rung in of_ladder]
    name = "optimizer.generator.schedule="
    assert folders == [
        [f"{name}constant", f"{name}cosine_train.epochs=2"],
        [f"{name}constant", f"{name}cosine_train.epochs=20"],
    ]
    assert of_ladder[1][1].flags == [
        f"--run_dir={tmp_path}/{name}cosine_train.epochs=20",
        f"--config.{name}cosine",
        "--config.train.epochs=20",
    ]
    fixed = {"optimizer.generator.decay_steps": 100}
    of_ladder = ladder(tmp_path, "optimizer.generator.schedule=cosine", **fixed)
    assert of_ladder[0][0].run_dir == of_ladder[1][0].run_dir


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_candidate_of_which_a_run_fails_does_not_go_on(
    score: float | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scored(trial: Trial, epoch: int) -> float | None:
        bad = rate_of(trial) == 1 and trial.config.seed == 2
        return score if bad else rate_of(trial)

    stand_in = StandIn(scored)
    found = climbed(ladder(tmp_path, f"{RATE}=1,2,3", "seed=1,2"), stand_in)
    assert [name for name, epochs in stand_in.started if epochs == 20] == [
        f"{RATE}=2_seed={seed}" for seed in (1, 2)
    ]
    assert [run.exit_code for run in found.ended].count(1) == (score is None)
    assert "1 of 3 go on to rung 2: 2\n" in capsys.readouterr().out


def test_where_none_can_be_ranked_none_goes_on(tmp_path: Path) -> None:
    stand_in = StandIn(lambda trial, epoch: None)
    found = climbed(ladder(tmp_path, f"{RATE}=1,2"), stand_in)
    assert (found.rung, found.candidates, len(found.ended)) == (1, {}, 2)


@pytest.mark.parametrize(
    "axis, rungs, fields, message",
    [
        ("seed=1", ("2",), {}, "--sweep_rungs=2: give two epochs or more"),
        ("seed=1", ("2", "x"), {}, "--sweep_rungs=2,x: give two"),
        ("seed=1", ("0", "2"), {}, "give two"),
        ("seed=1", ("2", "2"), {}, "give two"),
        ("seed=1", ("20", "2"), {}, "give two"),
        ("seed=1", ("2", "3000000000"), {}, "train.epochs is 3000000000; it must be at least 1"),
        ("seed=1", ("2", "20"), {"evaluation.every_epochs": 0}, "set --config.evaluation.every"),
        ("seed=1", ("2", "20"), {"train.steps": 9}, "train.steps is 9, .*: set --config.train.st"),
        ("train.epochs=1,2", ("2", "20"), {}, "drop --sweep=train.epochs"),
        ("evaluation.images=10,20", ("2", "20"), {}, "drop --sweep=evaluation.images"),
    ],
)
def test_what_cannot_be_halved(
    axis: str, rungs: tuple[str, ...], fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        ladder(tmp_path, axis, rungs=rungs, **fields)
    assert not list(tmp_path.iterdir())
