import json
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers.command import Command
from trainer.cli.arguments import flags_without
from trainer.config import Config
from trainer.errors import UserError
from trainer.report.ranking import ranking
from trainer.run.signals import SignalWatch
from trainer.sweep import run_trials, trials


def test_every_combination_has_a_folder_flags_and_a_config() -> None:
    axes = ["seed=1,2", "config.model.generator_filters=128,96,64;64,32"]
    found = trials(Config(), axes, "runs/s")
    assert len(found) == 4
    assert found[1].flags == [
        "--run_dir=runs/s/seed=1_model.generator_filters=64-32",
        "--config.seed=1",
        "--config.model.generator_filters=64,32",
    ]
    assert (found[2].config.seed, found[2].config.model.generator_filters) == (2, (128, 96, 64))
    assert Config().model.generator_filters == (128, 96, 64)


@pytest.mark.parametrize(
    "axes, message",
    [
        (["seed"], "give FIELD=VALUE,VALUE"),
        (["seed=1,,2"], "give FIELD=VALUE,VALUE"),
        (["learning_rate=0.1,0.2"], "did you mean optimizer.generator.learning_rate"),
        (["seed=1,many"], "seed=many"),
        (["seed=1,-2"], "seed is -2; it must be at least 0"),
        (["model.generator_filters=8,4;8,x"], "whole numbers, such as"),
        (["model.resolution=28,32", "model.discriminator_filters=4;4,4,4"], "multiple of 8"),
        (["optimizer.generator.learning_rate=1e-3,0.001"], "come to the same run"),
        (["data.source=a/b,a-b"], "come to the same run or folder"),
        (["seed=1,2", "config.seed=3"], "names a field twice"),
        ([f"data.records_dir=a,{'b' * 250}"], "of which disks take 255"),
    ],
)
def test_what_is_no_sweep(axes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        trials(Config(), axes, "runs")


def test_flags_are_left_out_in_both_forms() -> None:
    arguments = ["--a=1", "--sweep=x=1", "--b", "2", "--sweep", "y=1,2", "--run_dir=r", "--c"]
    assert flags_without(arguments, ("sweep", "run_dir")) == ["--a=1", "--b", "2", "--c"]


def test_the_ranking_has_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    runs = {}
    for rate, seed, scores in (("1", 1, [9, 7]), ("2", 1, [4, 8]), ("2", 2, [6, 5.5])):
        run = tmp_path / f"{rate}-{seed}"
        run.mkdir()
        lines = [
            {
                "step": step,
                "epoch": step,
                "loss/generator": step,
                "quality/fid_x": fid,
                "quality/kid_x": 0,
            }
            for step, fid in enumerate(scores, start=1)
        ]
        (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        runs[str(run)] = (("seed", str(seed)), ("rate", rate))
    text = ranking(runs, "fid")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:6]]
    assert rows[0] == ["rate", "runs", "fid_x", "loss/generator", "loss/discriminator"]
    # Of the best evaluations, 4 and 5.5: mean 4.75, deviation sqrt(2 * 0.75^2) = 1.06.
    assert rows[2:] == [["2", "2", "4.75 +- 1.1", "2 +- 0", "-"], ["1", "1", "7", "2", "-"]]
    assert f"Best run: {tmp_path}/2-1, fid_x 4 at step 1." in text
    assert "Nothing ranks these runs" in ranking(runs, "coverage")


# In place of the trainer: refuses, or waits for SIGTERM; seed 1 has the sweep receive a signal.
STAND_IN = """
import os, signal, sys, time
if sys.argv[1] == "refused":
    print("error: no data\\nlast words")
    sys.exit(2)
signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(143)))
if sys.argv[3] == "--config.seed=1":
    os.kill(os.getppid(), int(sys.argv[1]))
time.sleep(60)
"""


def test_bad_input_of_the_first_run_holds_back_the_others(tmp_path: Path) -> None:
    of_sweep = trials(Config(), ["seed=1,2"], str(tmp_path))
    command = [sys.executable, "-c", STAND_IN, "refused"]
    ended = run_trials(of_sweep, command, 1, SignalWatch())
    assert [(run.exit_code, run.last_line()) for run in ended] == [(2, "error: no data")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_waited_for(number: signal.Signals, tmp_path: Path) -> None:
    of_sweep = trials(Config(), ["seed=1,2,3"], str(tmp_path))
    with SignalWatch() as signals:
        ended = run_trials(of_sweep, [sys.executable, "-c", STAND_IN, str(int(number))], 2, signals)
    assert signals.received == number
    results = {run.trial.config.seed: (run.exit_code, run.last_line()) for run in ended}
    assert results[1] == (143, "saved") and results.keys() == {1, 2}


def test_a_sweep_of_two_seeds_one_of_which_fails(tiny_records: str, tmp_path: Path) -> None:
    command = Command(tmp_path, tiny_records)
    (tmp_path / "run/seed=2/config.json").mkdir(parents=True)
    flags = ("--sweep=seed=1,2", "--sweep_processes=2", "--config.train.steps=2")
    output = command.finish(*flags, exit_code=1)
    message = f"error: {tmp_path}/run/seed=2/config.json is a folder where a run has a file"
    assert f"1 of 2 runs failed:\n  {tmp_path}/run/seed=2/output.txt: {message}" in output
    assert message in (tmp_path / "run/seed=2/output.txt").read_text()
    assert (tmp_path / "run/seed=1/checkpoints/step-2.index").exists()
    assert (tmp_path / "run/sweep.md").read_text() in output
