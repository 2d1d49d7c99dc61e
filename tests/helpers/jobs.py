"""A job that tests change, and requests for jobs as the references say they have to be."""

import functools
from pathlib import Path
from typing import Any

import yaml

from launch.catalog import find_accelerator
from launch.job import JobSpec

IMAGE = "us-docker.pkg.dev/project/images/trainer:1"


def a_job(accelerator: str = "cpu", **changes: Any) -> JobSpec:
    """configs/mnist.py on the cloud, with changes."""
    fields: dict[str, Any] = {
        "name": "mnist",
        "config": "configs/mnist.py",
        "run_dir": "gs://bucket/runs/mnist",
        "image": IMAGE,
    }
    return JobSpec(accelerator=find_accelerator(accelerator), **fields | changes)


a_tpu_job = functools.partial(a_job, "v5e-8")


def a_spot_job(**changes: Any) -> JobSpec:
    """The job of golden/gke_job_tpu.yaml and golden/vertex_v5e_8_spot.json, with changes."""
    arguments = ("--config.train.group_size=8",)
    options = {"spot": True, "max_hours": 1.5, "labels": {"team": "vision"}} | changes
    return a_tpu_job(trainer_arguments=arguments, **options)


def golden(name: str) -> dict[str, Any]:
    """The request in tests/launch/golden, of YAML or JSON."""
    text = (Path(__file__).parents[1] / "launch/golden" / name).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
