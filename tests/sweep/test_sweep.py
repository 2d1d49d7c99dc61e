from pathlib import Path

from tests.helpers.command import Command, assert_same_bits


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


def test_a_sweep_with_rungs_goes_on_as_if_trained_in_one_piece(
    noisy_records: str, tmp_path: Path
) -> None:
    command = Command(tmp_path, noisy_records)
    evaluated = (
        *("--config.evaluation.every_epochs=1", "--config.evaluation.images=150"),
        "--config.evaluation.extractor=random",
    )
    rate = "optimizer.generator.learning_rate"
    flags = ("--sweep_rungs=1,2", "--sweep_processes=2", f"--sweep={rate}=0.001,0.1")
    assert "give --sweep too" in command.finish(flags[0], exit_code=2)
    refused = command.finish(*flags, exit_code=2)
    assert "set --config.evaluation.every_epochs=1" in refused and not (tmp_path / "run").exists()
    output = command.finish(*flags, *evaluated)
    assert "rung 1 of 2: 2 run(s) of 1 epoch(s)" in output and "1 of 2 go on to rung 2" in output
    table = (tmp_path / "run/sweep.md").read_text()
    assert table in output
    best, other = ([cell.strip() for cell in row.split("|")] for row in table.splitlines()[4:6])
    assert (best[2:5], other[2:5]) == (["2 of 2", "1", "2"], ["1 of 2", "1", "1"])
    command.finish(f"--config.{rate}={best[1]}", "--config.train.epochs=2", run="whole")
    assert_same_bits(tmp_path / f"run/{rate}={best[1]}", tmp_path / "whole", 100)
