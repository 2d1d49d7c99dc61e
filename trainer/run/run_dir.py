"""The run directory: the names of all that lies in it, who may write there, its config."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.config import Config
from trainer.config_fields import resume_conflicts
from trainer.errors import UserError
from trainer.storage.bucket import check_writable, is_gs
from trainer.storage.files import abandoned, names_in, write_text

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
DATA = "data.json"
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
EXPORT = "export"
OUTPUT = "output.txt"
"""What a run of a sweep printed."""
SWEEP = "sweep.md"
"""What came of a sweep, beside the folders of its runs."""
LOCK = "run.lock"

_FILES = (
    *(CONFIG, ENVIRONMENT, DATA, METRICS, LOSSES, TIMELAPSE, NEAREST),
    *(QUALITY_FLOOR, EVALUATION, REPORT, SWEEP),
)
_GRID = re.compile(r"epoch_(\d+)\.png")
# What this program writes under a temporary name, by the folder in the run directory.
_TEMPORARY = {
    "": re.compile("|".join(map(re.escape, _FILES))),
    SAMPLES: re.compile(r"(epoch|seed)_\d+\.png"),
    CHECKPOINTS: re.compile("checkpoint"),
    BEST: re.compile("checkpoint"),
    TENSORBOARD: re.compile("rewritten"),
}
# And what names no process: a bucket's write test, and half a checkpoint, which is TensorFlow's.
_HALF_CHECKPOINT = re.compile(r"step-\d+_temp|checkpoint\.tmp[0-9a-f]+")
_NAMELESS = {
    "": re.compile(r"write-test\.tmp-[0-9a-f]{32}"),
    CHECKPOINTS: _HALF_CHECKPOINT,
    BEST: _HALF_CHECKPOINT,
}


def grid_path(run_dir: str, epoch: int) -> str:
    """Path of the grid of an epoch, counted from 1."""
    return os.path.join(run_dir, SAMPLES, f"epoch_{epoch:04d}.png")


def grid_paths(run_dir: str) -> list[str]:
    """Paths of the grids that are there, by epoch."""
    folder = os.path.join(run_dir, SAMPLES)
    paths = [os.path.join(folder, name) for name in names_in(folder) if _GRID.fullmatch(name)]
    return sorted(paths, key=epoch_of_grid)


def epoch_of_grid(path: str) -> int:
    """The epoch of a grid by its path."""
    return int(path.removesuffix(".png").rpartition("_")[2])


def latest_checkpoint(run_dir: str) -> str | None:
    """Path of the newest checkpoint of a run, None if it has none."""
    return newest_in(os.path.join(run_dir, CHECKPOINTS))


def newest_in(folder: str) -> str | None:
    """Path of the newest checkpoint that a folder lists and holds, None if there is none."""
    # Not tf.train.latest_checkpoint, which takes the folder's name as a pattern.
    state = tf.train.get_checkpoint_state(folder)
    there = [path for path in listed(state) if tf.io.gfile.exists(f"{path}.index")]
    return there[-1] if there else None


def listed(state: Any) -> list[str]:
    """The paths in a folder's list of checkpoints, oldest first; none where there is no list."""
    return list(state.all_model_checkpoint_paths) if state else []


def read_config(run_dir: str) -> Config:
    """The config that a run was started with.

    Raises:
        UserError: the directory holds no run.
    """
    path = os.path.join(run_dir, CONFIG)
    if not tf.io.gfile.exists(path):
        raise UserError(f"{run_dir} holds no run: {path} is missing; check --run_dir.")
    try:
        with tf.io.gfile.GFile(path) as file:
            return Config.from_json(file.read())
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}): write it anew by giving the "
            "run's own command, or choose another --run_dir."
        ) from error


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
    """Removes what a killed process of this program had begun to write, and nothing else."""
    for folder, ours in _TEMPORARY.items():
        for name in names_in(os.path.join(run_dir, folder)):
            whole, nameless = abandoned(name), _NAMELESS.get(folder)
            if (whole and ours.fullmatch(whole)) or (nameless and nameless.fullmatch(name)):
                _remove(os.path.join(run_dir, folder, name))


def _remove(path: str) -> None:
    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    else:
        tf.io.gfile.remove(path)
