"""Jobs, and what a cluster says of them, for the tests of the backend gke."""

from pathlib import Path
from typing import Any

import yaml

from launch.catalog import find_accelerator
from launch.job import JobSpec

IMAGE = "us-docker.pkg.dev/project/images/trainer:1"
OWN_LABELS = {"app.kubernetes.io/managed-by": "dcgan-trainer"}


def job(accelerator: str = "cpu", **changes: Any) -> JobSpec:
    """configs/mnist.py on GKE."""
    fields: dict[str, Any] = {
        "name": "mnist",
        "config": "configs/mnist.py",
        "run_dir": "gs://bucket/runs/mnist",
        "image": IMAGE,
        "accelerator": find_accelerator(accelerator),
    }
    return JobSpec(**fields | changes)


def tpu_job() -> JobSpec:
    """The job of golden/gke_job_tpu.yaml."""
    return job(
        "v5e-8",
        spot=True,
        max_hours=1.5,
        labels={"team": "vision"},
        trainer_arguments=("--config.train.group_size=8",),
    )


def golden(name: str) -> dict[str, Any]:
    """A request as the references say it has to be."""
    text = (Path(__file__).parents[1] / "launch/golden" / name).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def job_object(**status: Any) -> dict[str, Any]:
    """A Job as a cluster sends it."""
    return _object("batch/v1", "Job", "mnist", "2026-11-24T02:00:00Z", status)


def jobset_object(**status: Any) -> dict[str, Any]:
    """A JobSet as a cluster sends it, made a minute later."""
    return _object("jobset.x-k8s.io/v1alpha2", "JobSet", "pair", "2026-11-24T02:01:00Z", status)


def _object(
    version: str, kind: str, name: str, created: str, status: dict[str, Any]
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": created}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {**metadata, "labels": dict(OWN_LABELS)},
        "status": status,
    }


def condition(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    """A condition that holds."""
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def pod(
    phase: str, *, of: str = "mnist", index: int | None = None, uid: str = "a", **status: Any
) -> dict[str, Any]:
    """A pod as a cluster sends it."""
    annotations = {} if index is None else {"batch.kubernetes.io/job-completion-index": str(index)}
    return {
        "metadata": {
            "name": f"{of}-{uid}",
            "namespace": "default",
            "uid": uid,
            "creationTimestamp": "2026-11-24T02:00:05Z",
            "labels": {**OWN_LABELS, "app.kubernetes.io/instance": of},
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "trainer", "image": IMAGE}]},
        "status": {"phase": phase, **status},
    }
