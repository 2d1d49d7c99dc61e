"""A run directory keeps what is the user's, whatever its name, and one training at a time."""

import os
import socket
from pathlib import Path

import pytest

from tests.conftest import build_gan_on, make_strategy_of
from tests.helpers.tiny import tiny_config
from trainer.errors import UserError
from trainer.run.checkpoints import Checkpoints, find_checkpoint
from trainer.run.metrics_file import MetricsFile
from trainer.run.run_dir import (
    check_run_dir,
    claim_run_dir,
    grid_paths,
    latest_checkpoint,
    read_config,
)
from trainer.run.tensorboard import TensorBoardWriter
from trainer.storage.files import temporary_name

GONE = 2**22 + 1
"""More than Linux's greatest process number."""


def of_a_gone_process(path: str) -> str:
    return temporary_name(path).removesuffix(str(os.getpid())) + str(GONE)


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "sp ace", "a{b}", "100%", "\u00e9\U0001f600"])
def test_a_path_is_never_a_pattern(name: str, tmp_path: Path) -> None:
    run, other = tmp_path / name, tmp_path / "a1"
    for folder in (run, other):
        claim_run_dir(str(folder), tiny_config(), {})
        (folder / "samples").mkdir()
        (folder / "samples/epoch_0001.png").touch()
        (folder / of_a_gone_process("config.json")).touch()
    gan = build_gan_on(tiny_config(), make_strategy_of(1))
    of_other = Checkpoints(gan, str(other))
    of_other.save(9)
    before = sorted(path for path in other.rglob("*"))
    checkpoints = Checkpoints(gan, str(run), keep=2)
    for step in (1, 2, 3):
        gan.step.assign(step)
        checkpoints.save(step)
        checkpoints.save_best(step)
        MetricsFile(str(run), step).write(step, 1.0, {"a": 1.0})
        writer = TensorBoardWriter(str(run), step)
        writer.scalars(step, {"a": 1.0})
        writer.writer.close()
    claim_run_dir(str(run), tiny_config(), {})
    assert latest_checkpoint(str(run)) == str(run / "checkpoints/step-3")
    assert find_checkpoint(str(run), "best") == str(run / "best/step-3")
    assert sorted(path.name for path in (run / "checkpoints").glob("*.index")) == [
        "step-2.index",
        "step-3.index",
    ]
    with pytest.raises(UserError, match="no such checkpoint, but step-2, step-3"):
        find_checkpoint(str(run), "step-1")
    gan.step.assign(0)
    assert Checkpoints(gan, str(run)).restore() == 3
    assert grid_paths(str(run)) == [str(run / "samples/epoch_0001.png")]
    assert not list(run.glob("config.json.tmp*"))
    assert sorted(path for path in other.rglob("*")) == before


def test_only_what_this_program_left_is_removed(tmp_path: Path) -> None:
    theirs = ["thesis.tmp-2025.doc", "notes.tmp-old/a", of_a_gone_process("a")]
    theirs += [of_a_gone_process("samples/b"), "config.json.tmp-2025-01", "report.html.tmp-old-7"]
    theirs += ["export.tmp-backup-2025/a", f"config.json.tmp-{socket.gethostname()}-{GONE}"]
    theirs += [f"config.json.tmp-dcgan-elsewhere-{GONE}"]  # who knows whether it lives?
    theirs += [f"{os.path.basename(temporary_name('report.html'))}"]  # of a process that lives
    ours = [*map(of_a_gone_process, ("report.html", "samples/epoch_0001.png"))]
    ours += ["checkpoints/step-3_temp/part"]
    ours += [f"write-test.tmp-{'a' * 32}"]  # of a bucket's
    ours += ["checkpoints/step-2.index"]  # its data was deleted
    theirs += ["checkpoints/step-1.index", "checkpoints/step-1.data-00000-of-00001"]
    theirs += ["checkpoints/step-4.index"]  # in the list: its data was lost
    for name in theirs + ours:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "checkpoints/checkpoint").write_text('all_model_checkpoint_paths: "step-4"\n')
    claim_run_dir(str(tmp_path), tiny_config(), {})
    assert all((tmp_path / name).exists() for name in theirs)
    assert not any((tmp_path / name).exists() for name in ours)


@pytest.mark.parametrize("name", ["checkpoints", "samples", "tensorboard", "best"])
def test_a_file_in_place_of_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"{tmp_path}/{name} is a file where a run has a folder"):
        check_run_dir(str(tmp_path), tiny_config())


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.jsonl", "losses.png", "report.html", "checkpoints/checkpoint"]
)
def test_a_folder_in_place_of_a_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{tmp_path}/{name} is a folder where a run has a file"):
        check_run_dir(str(tmp_path), tiny_config())
    if name == "config.json":
        with pytest.raises(UserError, match=r"config\.json is damaged"):
            read_config(str(tmp_path))


@pytest.mark.parametrize("name", ["metrics.jsonl", "report.html", "samples/epoch_0001.png"])
def test_a_file_of_something_else_is_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / name).write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=f"{name} is there, but no config.json of a run"):
        check_run_dir(str(tmp_path), tiny_config())
    (tmp_path / name).unlink()
    check_run_dir(str(tmp_path), tiny_config())


def test_a_config_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"my": "web project"}')
    with pytest.raises(UserError, match=r"choose another --run_dir: .*config\.json"):
        check_run_dir(str(tmp_path), tiny_config())


@pytest.mark.parametrize("name", ["run.lock", "metrics.jsonl", "samples"])
def test_what_is_neither_file_nor_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(tmp_path / "unmounted/disk")
    with pytest.raises(UserError, match=f"{name} is a link to nothing"):
        check_run_dir(str(tmp_path), tiny_config())
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} is a pipe or device"):
        check_run_dir(str(tmp_path), tiny_config())


def test_a_folder_with_the_name_of_a_grid_is_none(tmp_path: Path) -> None:
    (tmp_path / "samples/epoch_0007.png").mkdir(parents=True)
    (tmp_path / "samples/epoch_0002.png").touch()
    assert grid_paths(str(tmp_path)) == [f"{tmp_path}/samples/epoch_0002.png"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 3}', "\x00"])
def test_a_damaged_config_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        read_config(str(tmp_path))


@pytest.mark.parametrize("decay_steps, is_told", [(0, True), (100, False)])
def test_a_moved_end_of_the_learning_rates_fall_is_told(
    decay_steps: int, is_told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config()
    config.optimizer.generator.schedule = "cosine"
    config.optimizer.generator.decay_steps = decay_steps
    claim_run_dir(str(tmp_path), config, {})
    (tmp_path / "checkpoints").mkdir()
    for name in ("step-3.index", "step-3.data-00000-of-00001"):
        (tmp_path / "checkpoints" / name).touch()
    check_run_dir(str(tmp_path), config)
    assert "falls to the end" not in caplog.text
    config.train.epochs += 1
    check_run_dir(str(tmp_path), config)
    assert ("falls to the end of the run, which moves" in caplog.text) == is_told
