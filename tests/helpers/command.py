"""The command line as users call it, on a folder of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
import tensorflow as tf

from launch.worker_group import free_ports, tf_configs
from tests.helpers.examples import prepared
from tests.helpers.warm_start import WarmProgram

CONFIG = """
from tests.helpers.tiny import tiny_config

def get_config():
    return tiny_config({records!r})
"""

ENVIRONMENT = {"PYTHONPATH": os.getcwd(), "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": ""}
"""Of the programs under test."""

STARTED: list[subprocess.Popen[str]] = []
"""Programs that `Command` started and that may still run."""


class Command:
    """The trainer's command line on a folder of its own."""

    def __init__(self, folder: Path, records: str, xla: bool = False, **environment: str) -> None:
        """`xla`: compile the step, which takes seconds that most tests need not wait."""
        self.folder, self.environment = folder, environment
        self.jit = f"--config.train.jit_compile={str(xla).lower()}"
        self.config = folder / "tiny.py"
        self.config.write_text(CONFIG.format(records=records))

    def start(
        self, *flags: str, run: str = "run", output: IO[str] | int = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        has_config = not {"--mode=sample", "--mode=export", "--mode=report"} & set(flags)
        config = [f"--config={self.config}", self.jit] if has_config else []
        command = [sys.executable, "-m", "trainer.main", *config, f"--run_dir={self.folder / run}"]
        # TensorFlow reads other variables, and what is made of that flag, while it is imported.
        is_plain = not (self.environment.keys() | env.keys()) - {"TF_CONFIG"} and not any(
            flag.startswith("--compile_cache") for flag in flags
        )
        kind = WarmProgram if is_plain else subprocess.Popen
        program = kind(
            [*command, *flags],
            env=os.environ | ENVIRONMENT | self.environment | env,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        STARTED.append(program)
        return program

    def start_workers(
        self,
        *flags: str,
        run: str = "run",
        last_flags: tuple[list[str], list[str]] = ([], []),
        first_environment: Mapping[str, str] = MappingProxyType({}),
    ) -> list[subprocess.Popen[str]]:
        """Two processes of one MultiWorkerMirroredStrategy on loopback."""
        own = zip(last_flags, (first_environment, {}), tf_configs(free_ports(2)), strict=True)
        return [
            self.start(
                *("--strategy=multiworker", *flags, *own_flags),
                run=run,
                **({"TF_CONFIG": tf_config} | environment),
            )
            for own_flags, environment, tf_config in own
        ]

    def finish(
        self, *flags: str, run: str = "run", exit_code: int = 0, seconds: float = 180
    ) -> str:
        process = self.start(*flags, run=run)
        output = process.communicate(timeout=seconds)[0]
        assert process.returncode == exit_code, output
        return output


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path, step: int) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(run / f"checkpoints/step-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VALUE")]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def command_on_20_images(folder: Path, xla: bool = False) -> Command:
    """The tiny config on 20 random images of 8x8x1 of two classes in 2 shards."""
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    return Command(folder, prepared(folder, images, np.arange(20) % 2), xla)


def wait_for(path: Path, seconds: float = 120) -> None:
    """Returns when a process under test has written a file."""
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists(), f"{path} was not written within {seconds} s"


def assert_same_bits(run: Path, other: Path, step: int) -> None:
    """Every variable of two checkpoints: weights, statistics, optimizer slots, counters."""
    ours, theirs = weights(run, step), weights(other, step)
    assert ours.keys() == theirs.keys() and len(ours) > 20
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name], value, err_msg=name)


def assert_same_grids(run: Path, other: Path) -> None:
    """Every sample grid, and there are some."""
    grids = list((run / "samples").iterdir())
    assert grids
    for grid in grids:
        assert (other / "samples" / grid.name).read_bytes() == grid.read_bytes(), grid.name


def losses(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics that have losses, without their speed."""
    return [
        {name: value for name, value in line.items() if not name.startswith("speed/")}
        for line in metrics(run)
        if "loss/generator" in line
    ]


def assert_same_run(run: Path, other: Path, step: int) -> None:
    """Every variable, every sample grid and every line of losses."""
    assert_same_bits(run, other, step)
    assert_same_grids(run, other)
    assert losses(other) == losses(run)
