"""Real trainings by the command line, of configs/mnist.py mostly: metrics, speed and memory."""

import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from launch.worker_group import free_ports, tf_configs
from trainer.run.metrics_file import read_metrics

Fields = Mapping[str, object]
"""Of the config, by their dotted names."""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Resident memory of a process, Linux only."""

    resident_mib: float  # median between the first checkpoint and the end
    peak_mib: float


def train(
    fields: Fields, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> tuple[list[dict[str, Any]], str]:
    """One run on all cores.

    Returns:
        The lines of metrics.jsonl, and what the run printed.
    """
    with tempfile.TemporaryDirectory() as run_dir:
        with _started(run_dir, fields, flags, environment=environment) as (process, output):
            process.wait()
            output.seek(0)
            printed = output.read()
        return read_metrics(run_dir), printed


def seconds_to_grid(config: str, fields: Fields) -> tuple[float, float]:
    """Seconds from the start of a run on all cores to its last grid, and to its end."""
    with tempfile.TemporaryDirectory() as run_dir:
        began = time.time()
        with _started(run_dir, fields, config=config) as (process, _):
            process.wait()
            ended = time.time()
        last_grid = max(
            path.stat().st_mtime for path in Path(run_dir, "samples").glob("epoch_*.png")
        )
    return last_grid - began, ended - began


def memory_of_training(records_dir: str, *, steps: int, batch: int = 64) -> Memory:
    """One streaming run on all cores."""
    fields = _short_run(records_dir, steps, batch, min(batch, 64)) | {"data.memory_budget_mib": 0}
    with (
        tempfile.TemporaryDirectory() as run_dir,
        _started(run_dir, fields) as (process, _),
    ):
        return _watch_memory(process, Path(run_dir, "checkpoints", "checkpoint"))


def speed_on_cores(
    records_dir: str, first_core: int = 0, *, steps: int, workers: int, batch: int, group: int
) -> float:
    """Images a second of a run on some workers, worker i alone on core `first_core` + i."""
    cores = sorted(os.sched_getaffinity(0))[first_core:]
    places = zip(cores, tf_configs(free_ports(workers)), strict=False)
    fields = _short_run(records_dir, steps, batch, group)
    flags = ["--strategy=multiworker"]
    with tempfile.TemporaryDirectory() as run_dir:
        with contextlib.ExitStack() as all_workers:
            for core, tf_config in places:
                environment, prefix = {"TF_CONFIG": tf_config}, ["taskset", "-c", str(core)]
                worker = _started(run_dir, fields, flags, prefix, environment)
                all_workers.enter_context(worker)
        speed = "speed/images_per_second"
        speeds = [line[speed] for line in read_metrics(run_dir) if speed in line]
        return statistics.median(speeds[1:])  # the first has what the first step left over


def _short_run(records_dir: str, steps: int, batch: int, group: int) -> dict[str, object]:
    return {
        "data.records_dir": records_dir,
        "evaluation.every_epochs": 0,
        "train.steps": steps,
        "train.global_batch_size": batch,
        "train.group_size": group,
        "train.log_every_steps": 4,
        "train.checkpoint_every_steps": 10,
    }


@contextlib.contextmanager
def _started(
    run_dir: str,
    fields: Fields,
    flags: Sequence[str] = (),
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    config: str = "configs/mnist.py",
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A run and its output; waits for its end, which must be a good one."""
    command = [*prefix, sys.executable, "-m", "trainer.main", f"--config={config}"]
    given = [f"--config.{name}={value}" for name, value in fields.items()]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*command, f"--run_dir={run_dir}", *given, *flags],
            env=os.environ | (environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        yield process, output
        if process.wait():
            output.seek(0)
            raise RuntimeError(f"a run ended with {process.returncode}:\n{output.read()}")


def _watch_memory(process: subprocess.Popen[str], checkpoint: Path) -> Memory:
    # Compiling takes memory that is given back: the median begins with the first checkpoint.
    samples, peak = [], 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
            peak = max(peak, mib)
            if checkpoint.exists():
                samples.append(mib)
        time.sleep(0.1)
    return Memory(statistics.median(samples), peak)
