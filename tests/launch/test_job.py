import dataclasses

import pytest

from launch.errors import LaunchError
from launch.job import check_for_cloud
from tests.helpers.jobs import a_job


@pytest.mark.parametrize(
    "accelerator, workers, strategy, chips",
    [
        ("cpu", 1, "cpu", 0),
        ("cpu", 2, "multiworker", 0),
        ("h100-8", 1, "mirrored", 8),
        ("h100-8", 3, "multiworker", 24),
        ("v5e-8", 1, "tpu", 8),
    ],
)
def test_the_trainers_command(accelerator: str, workers: int, strategy: str, chips: int) -> None:
    job = a_job(accelerator, workers=workers, trainer_arguments=("--config.train.epochs=3",))
    assert job.command() == [
        "python",
        "-m",
        "trainer.main",
        "--config=configs/mnist.py",
        "--run_dir=gs://bucket/runs/mnist",
        f"--strategy={strategy}",
        "--config.train.epochs=3",
    ]
    assert job.chips == chips
    evaluation = dataclasses.replace(job, trainer_arguments=("--mode=evaluate",))
    assert evaluation.command()[3:] == [*job.command()[3:5], "--mode=evaluate"]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"name": "Mnist"}, "--name=Mnist"),
        ({"name": "m" * 41}, "40 at most"),
        ({"config": ""}, "--config is missing"),
        ({"run_dir": ""}, "--run_dir is missing"),
        ({"workers": 0}, "--workers=0"),
        ({"workers": 2, "accelerator": "v5e-8"}, "a TPU slice is one worker"),
        ({"max_hours": 0}, "--max_hours=0"),
        ({"max_hours": float("inf")}, "--max_hours=inf"),
        ({"labels": {"team": "A b"}}, "--label=team=A b"),
    ],
)
def test_what_no_backend_could_run(changes: dict[str, object], words: str) -> None:
    with pytest.raises(LaunchError, match=words):
        a_job(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"run_dir": "runs/mnist"}, "--run_dir=runs/mnist is on this machine"),
        ({"config": "/home/me/mnist.py"}, "--config=/home/me/mnist.py is on this machine"),
        ({"image": ""}, "--image is missing"),
    ],
)
def test_what_no_cloud_could_run(changes: dict[str, str], words: str) -> None:
    with pytest.raises(LaunchError, match=words):
        check_for_cloud(a_job(**changes))
