"""A job as a task of SkyPilot, which finds machines for it: `sky jobs launch FILE`."""

import math
import shlex
from typing import Any

import yaml

from launch.catalog import Accelerator
from launch.errors import LaunchError
from launch.job import JobSpec, check_for_cloud

_PORT = 2222
_CPUS = "16+"
_GRACE_SECONDS = 120

# SkyPilot gives every node the addresses of all, a line each, and its own place among them.
_TF_CONFIG = f"""\
export TF_CONFIG="$(python -c '
import json, os
workers = [ip + ":{_PORT}" for ip in os.environ["SKYPILOT_NODE_IPS"].split()]
task = {{"type": "worker", "index": int(os.environ["SKYPILOT_NODE_RANK"])}}
print(json.dumps({{"cluster": {{"worker": workers}}, "task": task}}))
')"
"""


def render_task(job: JobSpec) -> str:
    """The task as YAML.

    SkyPilot has no time limit of its own, so the command has one; like the trainer it ends
    with exit code 143 then, and it begins anew where a taken machine is replaced.

    Raises:
        LaunchError: SkyPilot cannot run it.
    """
    check_for_cloud(job)
    if job.accelerator.hosts > 1:
        family = job.accelerator.name.split("-")[0]
        raise LaunchError(
            f"--accelerator={job.accelerator.name} with --backend=skypilot: SkyPilot runs the "
            "command on every host of a TPU slice, and TensorFlow wants it on one; take a slice of "
            f"one host, {family}-8."
        )
    seconds = math.ceil(job.max_hours * 3600)
    limit = ["timeout", "--preserve-status", f"--kill-after={_GRACE_SECONDS}", str(seconds)]
    task = {
        "name": job.name,
        "num_nodes": job.workers,
        "resources": _resources(job),
        "envs": {"PYTHONUNBUFFERED": "1"},
        "run": (_TF_CONFIG if job.workers > 1 else "")
        + f"exec {shlex.join([*limit, *job.command()])}\n",
    }
    return yaml.dump(task, Dumper=_Dumper, sort_keys=False, width=10_000)


def _resources(job: JobSpec) -> dict[str, Any]:
    return {
        # Where the gs:// of the run directory is.
        "infra": "gcp",
        **_machine(job.accelerator),
        "use_spot": job.spot,
        "image_id": f"docker:{job.image}",
        "labels": {**job.labels, "launched-by": "dcgan-trainer"},
    }


def _machine(accelerator: Accelerator) -> dict[str, Any]:
    if accelerator.kind == "cpu":
        return {"cpus": _CPUS}
    model, count = accelerator.name.split("-")
    if accelerator.kind == "gpu":
        return {"accelerators": f"{model.upper()}:{count}"}
    return {
        "accelerators": f"tpu-{accelerator.tpu_vm_type}",
        # SkyPilot itself would take v5p's for v5e.
        "accelerator_args": {"runtime_version": accelerator.tpu_vm_runtime},
    }


class _Dumper(yaml.SafeDumper):
    """Writes the lines of a command as lines."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
