"""A job that tests change."""

from typing import Any

from launch.catalog import find_accelerator
from launch.job import JobSpec


def a_job(accelerator: str = "cpu", **changes: Any) -> JobSpec:
    """configs/mnist.py on the cloud, with changes."""
    fields: dict[str, Any] = {
        "name": "mnist",
        "config": "configs/mnist.py",
        "run_dir": "gs://bucket/runs/mnist",
        "image": "region-docker.pkg.dev/project/repository/trainer:1",
    }
    return JobSpec(accelerator=find_accelerator(accelerator), **fields | changes)
