from pathlib import Path

import pytest

from tests.helpers.command import Command
from trainer.errors import UserError
from trainer.sweep import Trial, flags_without, table, trials


def test_every_combination_has_a_folder_and_flags() -> None:
    found = trials(["seed=1,2", "optimizer.generator.learning_rate=1e-3,1e-4"], "runs/s")
    assert len(found) == 4
    assert found[1].flags == [
        "--run_dir=runs/s/seed=1_optimizer.generator.learning_rate=1e-4",
        "--config.seed=1",
        "--config.optimizer.generator.learning_rate=1e-4",
    ]


@pytest.mark.parametrize("sweep", ["seed", "seed=", "seed=1,,2"])
def test_what_is_no_sweep(sweep: str) -> None:
    with pytest.raises(UserError, match="give FIELD=VALUE,VALUE"):
        trials([sweep], "runs")


def test_flags_are_left_out_in_both_forms() -> None:
    arguments = ["--a=1", "--sweep=x=1", "--b", "2", "--sweep", "y=1,2", "--run_dir=r", "--c"]
    assert flags_without(arguments, ("sweep", "run_dir")) == ["--a=1", "--b", "2", "--c"]


def test_the_table_has_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    found = []
    for seed, loss in ((1, 0.5), (2, 0.7)):
        run = tmp_path / str(seed)
        run.mkdir()
        (run / "metrics.jsonl").write_text(
            f'{{"step": 1, "loss/generator": 9}}\n{{"step": 2, "loss/generator": {loss}}}\n'
        )
        found.append(Trial(str(run), (("seed", str(seed)), ("train.epochs", "3"))))
    text = table(found)
    assert text.splitlines()[0] == "train.epochs=3: 2 run(s)"
    assert "0.6 +- 0.141   (0.5, 0.7)" in text


def test_a_sweep_of_two_seeds_one_of_which_fails(tiny_records: str, tmp_path: Path) -> None:
    command = Command(tmp_path, tiny_records)
    output = command.finish("--sweep=seed=1,-2", "--config.train.steps=2", exit_code=1)
    assert "error: 1 of 2 runs failed" in output and "seed=-2/output.txt" in output
    assert (tmp_path / "run/seed=1/checkpoints/step-2.index").exists()
    assert "seed is -2; it must be at least 0" in (tmp_path / "run/seed=-2/output.txt").read_text()
    assert "all seeds: 1 run(s)" in output
