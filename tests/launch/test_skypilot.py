import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch import main
from launch.errors import LaunchError
from launch.skypilot import render_task
from tests.helpers.jobs import IMAGE, a_job, a_spot_job


def _task(*arguments: Any, **options: Any) -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load(render_task(a_job(*arguments, **options)))
    return task


def _tpu(name: str, runtime: str) -> dict[str, Any]:
    return {"accelerators": name, "accelerator_args": {"runtime_version": runtime}}


def test_a_task_of_one_node() -> None:
    assert yaml.safe_load(render_task(a_spot_job())) == {
        "name": "mnist",
        "num_nodes": 1,
        "resources": {
            "infra": "gcp",
            "accelerators": "tpu-v5litepod-8",
            "accelerator_args": {"runtime_version": "v2-alpha-tpuv5-lite"},
            "use_spot": True,
            "image_id": f"docker:{IMAGE}",
            "labels": {"team": "vision", "launched-by": "dcgan-trainer"},
        },
        "envs": {"PYTHONUNBUFFERED": "1"},
        "run": "exec timeout --preserve-status --kill-after=120 5400 python -m trainer.main "
        "--config=configs/mnist.py --run_dir=gs://bucket/runs/mnist --strategy=tpu "
        "--config.train.group_size=8\n",
    }


@pytest.mark.parametrize(
    "accelerator, wanted",
    [
        ("cpu", {"cpus": "16+"}),
        ("l4-1", {"accelerators": "L4:1"}),
        ("a100-8", {"accelerators": "A100:8"}),
        ("h100-8", {"accelerators": "H100:8"}),
        ("v5p-8", _tpu("tpu-v5p-8", "v2-alpha-tpuv5")),
        ("v6e-4", _tpu("tpu-v6e-4", "v2-alpha-tpuv6e")),
    ],
)
def test_accelerators_have_skypilots_names(accelerator: str, wanted: dict[str, Any]) -> None:
    resources = _task(accelerator)["resources"]
    for name in ("infra", "use_spot", "image_id", "labels"):
        del resources[name]
    assert resources == wanted


def test_the_command_runs_on_every_node_with_a_tf_config_of_its_own(tmp_path: Path) -> None:
    arguments = ("--config.data.records_dir=gs://b/$HOME 'x'",)
    spec = a_job(workers=3, trainer_arguments=arguments)
    # Stands in for the container's: tells what it was given, and still makes TF_CONFIG.
    python = tmp_path / "python"
    python.write_text(
        f'#!{sys.executable}\nimport json, os, subprocess, sys\nif sys.argv[1] == "-c":\n'
        "    exec(sys.argv[2])\nelse:\n"
        '    print(json.dumps([["python", *sys.argv[1:]], json.loads(os.environ["TF_CONFIG"])]))\n'
    )
    python.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SKYPILOT_NODE_IPS": "10.0.0.4\n10.0.0.2\n10.0.0.9",
        "SKYPILOT_NODE_RANK": "1",
    }
    run = yaml.safe_load(render_task(spec))["run"]
    output = subprocess.run(
        ["bash", "-c", run], env=environment, capture_output=True, text=True, check=True
    ).stdout
    command, tf_config = json.loads(output)
    assert command == spec.command()
    workers = ["10.0.0.4:2222", "10.0.0.2:2222", "10.0.0.9:2222"]
    assert tf_config == {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 1}}


def test_the_time_limit_ends_the_command_with_the_trainers_own_exit_code() -> None:
    words = shlex.split(_task(max_hours=0.0001)["run"])
    limit = words[1 : words.index("python")]
    assert limit[-1] == "1"
    stubborn = [sys.executable, "-c", "import signal; signal.pause()"]
    limit[-1] = "0.1"
    assert subprocess.run([*limit, *stubborn]).returncode == 143


def test_tpu_slices_of_several_hosts_are_refused() -> None:
    with pytest.raises(LaunchError, match=r"v5e-16.*v5e-8"):
        _task("v5e-16")


def test_render_prints_the_task(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config=configs/mnist.py", "--run_dir=gs://bucket/runs/mnist"]
    code = main.main(["render", "--backend=skypilot", *arguments, f"--image={IMAGE}"])
    assert code == 0
    assert capsys.readouterr().out == render_task(a_job())
