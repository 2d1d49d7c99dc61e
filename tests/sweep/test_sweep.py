from pathlib import Path

from tests.helpers.command import Command


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
