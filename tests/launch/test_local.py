"""Groups of processes on this machine, of a stand-in for the trainer and of the trainer itself."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from launch.backend import JobState
from launch.errors import LaunchError, ServiceError
from launch.local import Local
from tests.helpers.command import ENVIRONMENT, assert_same_bits, command_on_20_images, wait_for
from tests.helpers.jobs import a_job

# Does what its --config says: exits with the codes of this worker, a start after the other.
STAND_IN = """
import json, os, pathlib, signal, sys, time
script, folder = (argument.split("=", 1)[1] for argument in sys.argv[1:3])
index = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
starts = pathlib.Path(folder, f"starts-{index}")
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
word = script.split("|")[index].split(",")[len(starts.read_text()) - 1]
print(f"start {len(starts.read_text())}: {word}", flush=True)
if word == "wait":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: (print("saved", flush=True), sys.exit(128 + n)))
    time.sleep(60)
    sys.exit("was not told to stop")
if word == "die":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(word))
"""


@pytest.fixture(autouse=True)
def own_jobs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code/trainer").mkdir(parents=True)
    (tmp_path / "code/trainer/__init__.py").touch()
    (tmp_path / "code/trainer/main.py").write_text(STAND_IN)
    monkeypatch.chdir(tmp_path / "code")  # where `python -m` looks first
    return tmp_path


def run(folder: Path, script: str, max_restarts: int = 3, max_hours: float = 1.0) -> int:
    workers = script.count("|") + 1
    job = a_job(config=script, run_dir=str(folder), workers=workers, max_hours=max_hours)
    return Local(max_restarts).run(job)


def launched(*flags: str) -> subprocess.Popen[str]:
    """A launcher of its own with two workers, as a user would start it."""
    command = [sys.executable, "-m", "launch.main", "submit", "--backend=local", "--workers=2"]
    return subprocess.Popen(
        [*command, *flags],
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "script, exit_code, starts, state",
    [
        ("0", 0, 1, JobState.SUCCEEDED),
        ("0|0", 0, 1, JobState.SUCCEEDED),
        ("1,die,0|1,1,0", 0, 3, JobState.SUCCEEDED),
        ("1,1,1", 1, 3, JobState.FAILED),
        ("die,die,die", 137, 3, JobState.FAILED),
        ("2", 2, 1, JobState.FAILED),
    ],
)
def test_a_group_starts_again_until_its_end_is_final(
    stand_in: Path, script: str, exit_code: int, starts: int, state: JobState
) -> None:
    assert run(stand_in, script, max_restarts=2) == exit_code
    assert (stand_in / "starts-0").read_text() == "x" * starts
    status = Local().status("mnist")
    assert (status.job_id, status.state) == ("mnist", state)
    assert [each.job_id for each in Local().list()] == ["mnist"]


def test_the_log_has_every_worker(stand_in: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(stand_in, "0|0")
    lines = list(Local().logs("mnist", follow=True))
    assert sorted(lines) == ["[worker 0] start 1: 0", "[worker 1] start 1: 0"]
    assert sorted(capfd.readouterr().out.splitlines()) == sorted(lines)


def test_a_signal_reaches_the_workers_and_ends_the_job(stand_in: Path) -> None:
    launcher = launched("--name=mnist", "--config=wait|wait", f"--run_dir={stand_in}")
    for index in (0, 1):
        wait_for(stand_in / f"starts-{index}", seconds=30)
    lines = ThreadPoolExecutor(1).submit(lambda: list(Local().logs("mnist", follow=True)))
    assert Local().status("mnist").state is JobState.RUNNING
    with pytest.raises(LaunchError, match="a job of this name is running"):
        run(stand_in, "0")
    time.sleep(0.3)  # the stand-ins set their handlers
    Local().cancel("mnist")
    assert launcher.wait(30) == 143
    status = Local().status("mnist")
    assert (status.state, status.detail) == (JobState.CANCELLED, "exit code 143, told by SIGTERM")
    assert [line for line in lines.result(30) if "saved" in line]
    with pytest.raises(ServiceError, match="is not running: it has cancelled"):
        Local().cancel("mnist")


def test_a_lost_terminal_ends_it_saved(stand_in: Path) -> None:
    launcher = launched("--name=mnist", "--config=wait|wait", f"--run_dir={stand_in}")
    assert launcher.stdout is not None
    launcher.stdout.close()
    for index in (0, 1):
        wait_for(stand_in / f"starts-{index}", seconds=30)
    time.sleep(0.3)  # the stand-ins set their handlers
    launcher.send_signal(signal.SIGHUP)
    assert launcher.wait(30) == 129
    assert sum("saved" in line for line in Local().logs("mnist", follow=False)) == 2


def test_after_max_hours_it_saves_and_ends(stand_in: Path) -> None:
    assert run(stand_in, "wait", max_hours=1.5 / 3600) == 143
    assert "--max_hours=" in Local().status("mnist").detail


def record_of_a_job(stand_in: Path) -> Path:
    run(stand_in, "0")
    return stand_in / "state/dcgan-trainer/jobs/mnist/job.json"


def test_a_killed_launcher_is_told_and_another_process_of_its_number_left_alone(
    stand_in: Path,
) -> None:
    record = record_of_a_job(stand_in)
    with subprocess.Popen(["sleep", "60"]) as other:
        content = json.loads(record.read_text()) | {"pid": other.pid, "state": "running"}
        record.write_text(json.dumps(content))
        status = Local().status("mnist")
        assert (status.state, status.detail) == (JobState.FAILED, "its launcher was killed")
        with pytest.raises(ServiceError, match="is not running"):
            Local().cancel("mnist")
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"state": "RUNNING"}'])
def test_a_damaged_record_costs_no_more_than_itself(stand_in: Path, text: str) -> None:
    record = record_of_a_job(stand_in)
    record.write_text(text)
    (found,) = Local().list()
    assert found.state is JobState.FAILED and f"its record {record} is damaged" in found.detail
    assert list(Local().logs("mnist", follow=True)) == ["[worker 0] start 1: 0"]
    with pytest.raises(ServiceError, match="is not running"):
        Local().cancel("mnist")
    assert run(stand_in, "0,0") == 0
    assert Local().status("mnist").state is JobState.SUCCEEDED


def test_a_log_that_cannot_be_written_holds_nobody_up(
    stand_in: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = record_of_a_job(stand_in).parent / "log.txt"
    log.unlink()
    log.symlink_to("/dev/full")
    assert run(stand_in, "0,0") == 0
    printed = capfd.readouterr()
    assert "start 2: 0" in printed.out
    assert printed.err.count("the job goes on without its log") == 1


def test_a_record_that_cannot_be_kept(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    with pytest.raises(LaunchError, match="set XDG_STATE_HOME to a folder"):
        run(stand_in, "0")


def test_a_training_ends_saved_with_its_killed_launcher(tmp_path: Path) -> None:
    trainer, run_dir = command_on_20_images(tmp_path), tmp_path / "run"
    steps = "--config.train.steps=1000000"
    launcher = launched(
        "--workers=1",
        f"--config={trainer.config}",
        f"--run_dir={run_dir}",
        "--",
        trainer.jit,
        steps,
    )
    wait_for(run_dir / "checkpoints/step-8.index")
    launcher.kill()
    assert launcher.stdout is not None
    output = launcher.stdout.read()  # to the end of all who could write to it
    launcher.wait()
    again = trainer.start(steps)
    assert again.stdout is not None
    assert any("goes on from step" in line for line in again.stdout), output


def test_jobs_that_there_are_not() -> None:
    assert Local().list() == []
    for name in ("mnist", "../jobs/mnist", ""):
        with pytest.raises(ServiceError, match=f"no local job {name}"):
            Local().status(name)


def test_render_is_what_a_shell_takes() -> None:
    lines = Local().render(a_job(run_dir="runs/a b", workers=2)).splitlines()
    for index, line in enumerate(lines):
        variable, *command = shlex.split(line)
        tf_config = json.loads(variable.removeprefix("TF_CONFIG="))
        assert tf_config["task"] == {"type": "worker", "index": index}
        assert tf_config["cluster"] == {"worker": ["127.0.0.1:2222", "127.0.0.1:2223"]}
        assert command == a_job(run_dir="runs/a b", workers=2).command()


def test_a_killed_worker_of_a_real_training(tmp_path: Path) -> None:
    """The group starts again, finishes, and has computed what one process computes."""
    trainer = command_on_20_images(tmp_path)
    flags = ["--config.train.steps=300", "--config.train.checkpoint_every_steps=20"]
    run_dir = f"--run_dir={tmp_path / 'two'}"
    launcher = launched(f"--config={trainer.config}", run_dir, "--", trainer.jit, *flags)
    wait_for(tmp_path / "two/checkpoints/step-40.index")
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True
    )
    workers = [int(pid) for pid in children.stdout.split()]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    output = launcher.communicate(timeout=180)[0]
    assert launcher.returncode == 0, output
    assert "restart 1 of 3" in output
    assert re.search(r"\[worker 0\] .*goes on from step \d+", output)
    trainer.finish(*flags, run="one")
    assert_same_bits(tmp_path / "one", tmp_path / "two", 300)
