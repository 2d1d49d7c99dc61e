"""One config over several values, and what came of it in one table."""

import contextlib
import dataclasses
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import numpy as np
import tensorflow as tf

from trainer.errors import UserError
from trainer.run.metrics_file import read_metrics
from trainer.run.run_dir import OUTPUT
from trainer.storage.bucket import is_gs


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    run_dir: str
    values: tuple[tuple[str, str], ...]  # (field, value)

    @property
    def flags(self) -> list[str]:
        """What tells the trainer this run's values."""
        return [f"--run_dir={self.run_dir}", *(f"--config.{f}={v}" for f, v in self.values)]


def trials(sweep: Sequence[str], run_dir: str) -> list[Trial]:
    """Every combination of the values.

    Args:
        sweep: `field=value,value,...`, one or more.
        run_dir: runs go to folders in it, named by their values.

    Raises:
        UserError: not of that form.
    """
    axes = []
    for axis in sweep:
        field, separator, values = axis.partition("=")
        if not separator or not all(values.split(",")):
            raise UserError(f"--sweep={axis}: give FIELD=VALUE,VALUE, such as seed=1,2,3.")
        axes.append([(field, value) for value in values.split(",")])
    return [
        Trial(os.path.join(run_dir, "_".join(f"{f}={v}" for f, v in combination)), combination)
        for combination in itertools.product(*axes)
    ]


def run_trials(of_sweep: list[Trial], flags: list[str], processes: int) -> list[Trial]:
    """Trains each as a process of its own; a finished one is done at once.

    Args:
        of_sweep: what to run.
        flags: of the command, without those of the sweep and the run directory.
        processes: how many at a time.

    Returns:
        Those that failed.
    """

    def run(trial: Trial) -> int:
        print(f"starts {trial.run_dir}", flush=True)
        with _appended(os.path.join(trial.run_dir, OUTPUT)) as output:
            command = [sys.executable, "-m", "trainer.main", *flags, *trial.flags]
            code = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
        print(f"ends   {trial.run_dir} with exit code {code}", flush=True)
        return code

    with ThreadPoolExecutor(processes) as pool:
        codes = list(pool.map(run, of_sweep))
    return [trial for trial, code in zip(of_sweep, codes, strict=True) if code]


@contextlib.contextmanager
def _appended(path: str) -> Iterator[IO[bytes]]:
    """A file that a process can write to; on gs:// the text is there once the block ends."""
    if not is_gs(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab") as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        with tf.io.gfile.GFile(path, "ab") as output:
            output.write(file.read())


def flags_without(arguments: Sequence[str], names: tuple[str, ...]) -> list[str]:
    """Command-line arguments without some flags, written `--flag=value` or `--flag value`."""
    kept, skips_value = [], False
    for argument in arguments:
        name, separator, _ = argument.lstrip("-").partition("=")
        if skips_value or name in names:
            skips_value = not skips_value and not separator
        else:
            kept.append(argument)
    return kept


def table(of_sweep: Sequence[Trial]) -> str:
    """The last losses and measures of all runs; those that differ in the seed alone, together.

    Returns:
        Text: a block for each combination of the other values, with mean and standard
        deviation over the seeds.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for trial in of_sweep:
        name = " ".join(f"{field}={value}" for field, value in trial.values if field != "seed")
        groups.setdefault(name or "all seeds", []).append(_last_values(trial.run_dir))
    lines = []
    for group, runs in groups.items():
        lines.append(f"{group}: {len(runs)} run(s)")
        for name in sorted(set.intersection(*(set(run) for run in runs))):
            values = [run[name] for run in runs]
            spread = f" +- {np.std(values, ddof=1):.3g}" if len(values) > 1 else ""
            each = ", ".join(f"{value:.4g}" for value in values)
            lines.append(f"  {name:40}{np.mean(values):10.4g}{spread}   ({each})")
    return "\n".join(lines)


def _last_values(run_dir: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for line in read_metrics(run_dir):
        values |= {k: v for k, v in line.items() if k.startswith(("loss/", "quality/"))}
    return values
