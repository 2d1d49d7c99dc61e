from types import SimpleNamespace
from unittest.mock import Mock

import pytest

import launch.main
from launch.backend import JobState, JobStatus
from launch.errors import ServiceError
from launch.main import main
from tests.helpers.jobs import a_job
from tests.helpers.programs import run_python

JOB = ["--backend=gke", "--config=configs/mnist.py", "--run_dir=gs://bucket/runs/mnist_best/"]
JOB += ["--image=trainer:1", "--accelerator=v5e-8"]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of a cloud: remembers the jobs and says what the test set."""
    cloud = SimpleNamespace(jobs=[], statuses=[], lines=["one", "two"])
    cloud.submit = lambda job: cloud.jobs.append(job) or "mnist-1"
    cloud.render = lambda job: f"{job.name}\n"
    cloud.status = lambda job_id: cloud.statuses[0]
    cloud.list = lambda: cloud.statuses
    cloud.logs = lambda job_id, follow: iter(cloud.lines)
    monkeypatch.setattr(launch.main, "_cloud", lambda options: cloud)
    return cloud


def test_submit(cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--max_hours=5", "--label=team=gan", "--", "--config.train.epochs=3"]
    assert main(["submit", *JOB, *flags]) == 0
    (job,) = cloud.jobs
    expected = a_job(
        "v5e-8",
        name="mnist-best",
        run_dir="gs://bucket/runs/mnist_best/",
        image="trainer:1",
        max_hours=5.0,
        labels={"team": "gan"},
        trainer_arguments=("--config.train.epochs=3",),
    )
    assert job == expected
    out, err = capsys.readouterr()
    assert out == "mnist-1\n"
    assert "8 chips x 5 h = 40 chip-hours; prices: https://cloud.google.com/tpu/pricing" in err
    assert "without --spot" in err


def test_dry_run_is_render(cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", *JOB, "--dry_run", "--spot"]) == 0
    rendered = capsys.readouterr()
    assert main(["render", *JOB, "--spot"]) == 0
    assert capsys.readouterr() == rendered
    assert rendered.out == "mnist-best\n" and "without --spot" not in rendered.err
    assert cloud.jobs == []


@pytest.mark.parametrize(
    "state, exit_code",
    [("waiting", 4), ("running", 4), ("succeeded", 0), ("failed", 1), ("cancelled", 1)],
)
def test_scripts_can_use_status(
    cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str], state: str, exit_code: int
) -> None:
    cloud.statuses = [JobStatus("mnist-1", JobState(state), "a reason", "2026-11-24T10:00:00Z")]
    assert main(["status", "--backend=gke", "mnist-1"]) == exit_code
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["JOB", "STATE", "CREATED", "DETAIL"]
    assert row.split() == ["mnist-1", state, "2026-11-24T10:00:00Z", "a", "reason"]


def test_list_and_logs(cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.statuses = [JobStatus(name, JobState.RUNNING) for name in ("a", "long-name")]
    assert main(["list", "--backend=gke"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1:] == ["a          running  -", "long-name  running  -"]
    assert main(["logs", "--backend=gke", "a"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_refusal_is_exit_3(cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.cancel = Mock(side_effect=ServiceError("cancelling job x: not allowed."))
    assert main(["cancel", "--backend=gke", "x"]) == 3
    assert capsys.readouterr().err == "error: cancelling job x: not allowed.\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["render", "--backend=gke", "--config=c.py"], "--run_dir is missing"),
        (["status", "--backend=vertex", "--region=r", "7"], "--project is missing"),
        (["status", "--backend=tpu_vm", "--project=p", "7"], "--zone is missing"),
        (["list", "--backend=vertex", "--zone=z"], "=z is not used by --backend=vertex, only"),
        (["submit", "--backend=local", "--image", "i"], "only by vertex, gke, tpu_vm, skypilot"),
        (["submit", "--backend=local", "--rundir=r"], "did you mean --run_dir?"),
        (["submit", "--backend=local", "--config.seed=1"], "the trainer's own flags go after --"),
        (["submit", "--backend=moon"], "invalid choice: 'moon'"),
    ],
)
def test_bad_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and error.count("\n") == 1


def test_help_teaches_without_any_client() -> None:
    """Nothing but the standard library is imported before it is needed."""
    code = (
        "import sys, launch.main\n"
        "clients = {'google.api_core', 'kubernetes', 'yaml', 'numpy'}\n"
        "heavy = clients & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "launch.main.main(['--help'])"
    )
    shown = run_python("-c", code)
    assert shown.returncode == 0, shown.stderr
    assert "python -m launch.main submit --backend=local" in shown.stdout


@pytest.mark.parametrize(
    "flags",
    [
        ["--backend=local"],
        ["--backend=gke", "--image=t:1"],
        ["--backend=skypilot", "--image=t:1"],
        [
            "--backend=vertex",
            "--image=us-docker.pkg.dev/p/i/t:1",
            "--project=p",
            "--region=us-west4",
        ],
        ["--backend=tpu_vm", "--image=us-docker.pkg.dev/p/i/t:1", "--project=p", "--zone=z-a"],
    ],
    ids=lambda flags: flags[0],
)
def test_no_secret_of_the_environment_is_rendered(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_API_KEY", "GOOGLE_AUTH_TOKEN_FOR_TESTING", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("TF_CONFIG", '{"token": "planted"}')
    job = [*JOB[1:3], *([] if "local" in flags[0] else [JOB[4]])]
    assert main(["render", *flags, *job]) == 0
    rendered = capsys.readouterr()
    assert "trainer.main" in rendered.out and "planted" not in rendered.out + rendered.err
