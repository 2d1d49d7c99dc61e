"""The run directory: the names of all that lies in it, who may write there, its config."""

import json
import os
from collections.abc import Mapping

import tensorflow as tf

from trainer.config import Config
from trainer.config_fields import resume_conflicts
from trainer.errors import UserError
from trainer.storage.bucket import check_writable, is_gs
from trainer.storage.files import write_text

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
BEST = "best"
TENSORBOARD = "tensorboard"
SAMPLES = "samples"
LOSSES = "losses.png"
TIMELAPSE = "timelapse.gif"
NEAREST = "nearest.png"
QUALITY_FLOOR = "quality_floor.json"
EVALUATION = "evaluation.json"
REPORT = "report.html"
OUTPUT = "output.txt"
"""What a run of a sweep printed."""
SWEEP = "sweep.md"
"""What came of a sweep, beside the folders of its runs."""


def grid_path(run_dir: str, epoch: int) -> str:
    """Path of the grid of an epoch, counted from 1."""
    return os.path.join(run_dir, SAMPLES, f"epoch_{epoch:04d}.png")


def grid_paths(run_dir: str) -> list[str]:
    """Paths of the grids that are there, by epoch."""
    paths = tf.io.gfile.glob(os.path.join(run_dir, SAMPLES, "epoch_*.png"))
    return sorted(paths, key=epoch_of_grid)


def epoch_of_grid(path: str) -> int:
    """The epoch of a grid by its path."""
    return int(path.removesuffix(".png").rpartition("_")[2])


def latest_checkpoint(run_dir: str) -> str | None:
    """Path of the newest checkpoint of a run, None if it has none."""
    return tf.train.latest_checkpoint(os.path.join(run_dir, CHECKPOINTS))


def read_config(run_dir: str) -> Config:
    """The config that a run was started with.

    Raises:
        UserError: the directory holds no run.
    """
    path = os.path.join(run_dir, CONFIG)
    if not tf.io.gfile.exists(path):
        raise UserError(f"{run_dir} holds no run: {path} is missing; check --run_dir.")
    with tf.io.gfile.GFile(path) as file:
        return Config.from_json(file.read())


def claim_run_dir(run_dir: str, config: Config, environment: Mapping[str, str | int]) -> None:
    """Makes or tidies the run directory and writes config and environment; for the chief.

    Call `check_run_dir` first.

    Raises:
        UserError: the directory cannot be written.
    """
    try:
        tf.io.gfile.makedirs(run_dir)
        _remove_leftovers(run_dir)
        write_text(os.path.join(run_dir, CONFIG), config.to_json())
        text = json.dumps(environment, indent=2) + "\n"
        write_text(os.path.join(run_dir, ENVIRONMENT), text)
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"--run_dir={run_dir} cannot be written ({str(error).splitlines()[0]}); choose another."
        ) from error


def check_run_dir(run_dir: str, config: Config) -> None:
    """Checks that a run with this config may write to, or go on in, the directory.

    Raises:
        UserError: it cannot be written (gs:// only), or holds checkpoints of a run that differs
            in more than a resumed run may change; names every field that differs.
        StorageOutageError: Google Cloud Storage does not answer.
    """
    if is_gs(run_dir):
        check_writable(run_dir)
    if latest_checkpoint(run_dir) is None:
        return
    conflicts = resume_conflicts(read_config(run_dir), config)
    if conflicts:
        raise UserError(
            f"{run_dir} holds a run with another config, which cannot go on with this one: "
            f"{'; '.join(conflicts)}. Choose another --run_dir, or give the run's own values."
        )


def _remove_leftovers(run_dir: str) -> None:
    """Removes what a killed process had begun to write."""
    for pattern in ("checkpoints/*_temp", "checkpoints/checkpoint.tmp*", "*.tmp-*", "*/*.tmp-*"):
        for path in tf.io.gfile.glob(os.path.join(run_dir, pattern)):
            if tf.io.gfile.isdir(path):
                tf.io.gfile.rmtree(path)
            else:
                tf.io.gfile.remove(path)
