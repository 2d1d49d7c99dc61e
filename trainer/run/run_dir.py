"""The run directory: the names of all that lies in it, who may write there, its config."""

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from trainer.config import Config
from trainer.config_fields import resume_conflicts
from trainer.errors import UserError
from trainer.storage.bucket import check_writable, is_gs
from trainer.storage.files import abandoned, names_in, naming_the_output, remove, write_text

log = logging.getLogger(__name__)

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

CHECKPOINT_LIST = "checkpoint"
"""Where TensorFlow too looks for the checkpoints of a folder."""

_FILES = (
    *(CONFIG, ENVIRONMENT, DATA, METRICS, LOSSES, TIMELAPSE, NEAREST),
    *(QUALITY_FLOOR, EVALUATION, REPORT, SWEEP),
)
_FOLDERS = (CHECKPOINTS, BEST, TENSORBOARD, SAMPLES)
_LISTS = tuple(os.path.join(folder, CHECKPOINT_LIST) for folder in (CHECKPOINTS, BEST))

_CHECKPOINT_FILE = re.compile(r"(step-\d+)\.(index|data-\d+-of-\d+)")
_LISTED = re.compile(r'^all_model_checkpoint_paths: "(?:.*/)?(step-\d+)"$', re.MULTILINE)
_GRID = re.compile(r"epoch_(\d+)\.png")
# What this program writes under a temporary name, by the folder in the run directory.
_TEMPORARY = {
    "": re.compile("|".join(map(re.escape, (*_FILES, EXPORT)))),
    SAMPLES: re.compile(r"(epoch|seed)_\d+\.png"),
    CHECKPOINTS: re.compile(CHECKPOINT_LIST),
    BEST: re.compile(CHECKPOINT_LIST),
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
    return sorted((path for path in paths if not os.path.isdir(path)), key=epoch_of_grid)


def epoch_of_grid(path: str) -> int:
    """The epoch of a grid by its path."""
    return int(path.removesuffix(".png").rpartition("_")[2])


def latest_checkpoint(run_dir: str) -> str | None:
    """Path of the newest checkpoint of a run, None if it has none."""
    return newest_in(os.path.join(run_dir, CHECKPOINTS))


def newest_in(folder: str) -> str | None:
    """Path of the newest checkpoint of a folder, None if there is none."""
    paths = checkpoints_in(folder)
    return paths[-1] if paths else None


def checkpoints_in(folder: str) -> list[str]:
    """Paths of the checkpoints of a folder, oldest first, in the order of its list.

    Each has a file there, but may lack another. A list that cannot be read is made up from the
    names of the files, and one that lacks newer whole checkpoints is completed: a kill may have
    come before it was written.
    """
    return found_checkpoints(folder)[0]


def found_checkpoints(folder: str) -> tuple[list[str], str]:
    """The same, and what is wrong with the list, empty where nothing is."""
    # Not tf.train.get_checkpoint_state, to which a list that it cannot read is no list.
    files = names_in(folder)
    index, data = _with_index_and_with_data(files)
    text = ""
    if CHECKPOINT_LIST in files:
        with tf.io.gfile.GFile(os.path.join(folder, CHECKPOINT_LIST), "rb") as file:
            text = file.read().decode(errors="replace")
    names, finding = [name for name in _LISTED.findall(text) if name in index | data], ""
    if index and not names:
        names = sorted(index, key=_step)
        finding = f"the list of checkpoints in {folder} is missing or damaged and made anew"
    elif newer := [name for name in index & data if _step(name) > _step(names[-1])]:
        newer.sort(key=_step)
        names += newer
        finding = f"the list of checkpoints in {folder} lacks {', '.join(newer)}: taken"
    return [os.path.join(folder, name) for name in names], finding


def _with_index_and_with_data(files: Iterable[str]) -> tuple[set[str], set[str]]:
    """Names of the checkpoints that have the one, and of those that have the other."""
    found = [match for file in files if (match := _CHECKPOINT_FILE.fullmatch(file))]
    index = {match[1] for match in found if match[2] == "index"}
    return index, {match[1] for match in found if match[2] != "index"}


def _step(name: str) -> int:
    return int(name.removeprefix("step-"))


def checkpoint_files(folder: str, name: str) -> list[str]:
    """Names of the files of a checkpoint such as `step-3`; not all that begins as they do."""
    found = [(file, _CHECKPOINT_FILE.fullmatch(file)) for file in names_in(folder)]
    return [file for file, match in found if match and match[1] == name]


def has_config(run_dir: str) -> bool:
    """Whether a run's config is there, be it damaged."""
    return tf.io.gfile.exists(os.path.join(run_dir, CONFIG))


def read_config(run_dir: str) -> Config:
    """The config that a run was started with.

    Raises:
        UserError: the directory holds no run.
    """
    path = os.path.join(run_dir, CONFIG)
    if not has_config(run_dir):
        raise UserError(f"{run_dir} holds no run: {path} is missing; check --run_dir.")
    try:
        with tf.io.gfile.GFile(path) as file:
            config = Config.from_json(file.read())
        config.validate()
        return config
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (
        *(ValueError, TypeError, AttributeError, RecursionError),
        tf.errors.FailedPreconditionError,  # a folder
    ) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}): delete it and give the "
            "run's own command, which writes it anew, or choose another --run_dir."
        ) from error


def json_object(path: str) -> dict[str, Any]:
    """What a file of a run holds; nothing where it is missing or, which is logged, damaged."""
    if not tf.io.gfile.exists(path):
        return {}
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            found = json.loads(file.read())
    # The last is for a folder.
    except (ValueError, RecursionError, tf.errors.FailedPreconditionError) as error:
        found = error
    if not isinstance(found, dict):
        log.warning("%s is damaged and left out: %s", path, found)
        return {}
    return found


def claim_run_dir(run_dir: str, config: Config, environment: Mapping[str, str | int]) -> None:
    """Makes or tidies the run directory and writes config and environment; for the chief.

    Where there are checkpoints, the environment stays that of theirs, until others are written.
    Call `check_run_dir` first.

    Raises:
        UserError: the directory cannot be written.
        DiskError: the disk refuses.
    """
    with naming_the_output(run_dir, "--run_dir"):
        tf.io.gfile.makedirs(run_dir)
        _remove_leftovers(run_dir)
        # First, since it is what the folder is known by.
        write_text(os.path.join(run_dir, CONFIG), config.to_json())
        if latest_checkpoint(run_dir) is None:
            write_environment(run_dir, environment)


def write_environment(run_dir: str, environment: Mapping[str, str | int]) -> None:
    """Notes what computes the checkpoints of a run."""
    text = json.dumps(environment, indent=2) + "\n"
    write_text(os.path.join(run_dir, ENVIRONMENT), text)


def check_run_dir(run_dir: str, config: Config) -> None:
    """Checks that a run with this config may write to, or go on in, the directory.

    Raises:
        UserError: it cannot be written (gs:// only), has a folder in place of a file or the other
            way round, or holds checkpoints of a run that differs in more than a resumed run may
            change; names every field that differs.
        StorageOutageError: Google Cloud Storage does not answer.
    """
    if is_gs(run_dir):
        check_writable(run_dir)
    else:
        _check_kinds(run_dir)
    if latest_checkpoint(run_dir) is None:
        _check_ours(run_dir)
        return
    if not has_config(run_dir):
        log.warning(
            "%s is missing: nothing says whether the checkpoints there are of this config, but "
            "their variables",
            os.path.join(run_dir, CONFIG),
        )
        return
    saved = read_config(run_dir)
    conflicts = resume_conflicts(saved, config)
    if conflicts:
        raise UserError(
            f"{run_dir} holds a run with another config, which cannot go on with this one: "
            f"{'; '.join(conflicts)}. Choose another --run_dir, or give the run's own values."
        )
    ends = [(each.train.epochs, each.train.steps) for each in (saved, config)]
    if config.learns_to_the_end and ends[0] != ends[1]:
        log.warning(
            "the learning rate falls to the end of the run, which moves: from here on it is not "
            "that of the run so far, nor of one in one piece"
        )


def _check_kinds(run_dir: str) -> None:
    """Or it would be seen when they are written, some only after hours of training."""
    for names, is_right, right in (
        (_FOLDERS, os.path.isdir, "folder"),
        ((*_FILES, *_LISTS, LOCK), os.path.isfile, "file"),
    ):
        for path in (os.path.join(run_dir, name) for name in names):
            if os.path.lexists(path) and not is_right(path):
                raise UserError(
                    f"{path} is a {_kind(path)} where a run has a {right}: move it away, or choose "
                    "another --run_dir."
                )


def _kind(path: str) -> str:
    if not os.path.exists(path):
        return "link to nothing"
    return "folder" if os.path.isdir(path) else "file" if os.path.isfile(path) else "pipe or device"


def _check_ours(run_dir: str) -> None:
    """Or a new run would write over what something else keeps there by the same names."""
    if has_config(run_dir):
        try:
            read_config(run_dir)
        except UserError as error:
            raise UserError(
                f"choose another --run_dir: {run_dir} holds no run of this version: {error}"
            ) from error
        return
    for path in (*(os.path.join(run_dir, name) for name in _FILES), *grid_paths(run_dir)):
        if tf.io.gfile.exists(path):
            raise UserError(
                f"{path} is there, but no {CONFIG} of a run: move it away, or choose another "
                "--run_dir."
            )


def _remove_leftovers(run_dir: str) -> None:
    """Removes what a killed process of this program had begun to write, and nothing else."""
    for folder, ours in _TEMPORARY.items():
        for name in names_in(os.path.join(run_dir, folder)):
            whole, nameless = abandoned(name), _NAMELESS.get(folder)
            if (whole and ours.fullmatch(whole)) or (nameless and nameless.fullmatch(name)):
                remove(os.path.join(run_dir, folder, name))
    for folder in (CHECKPOINTS, BEST):
        _remove_half_deleted(os.path.join(run_dir, folder))


def _remove_half_deleted(folder: str) -> None:
    """Removes the index that is left where deleting an old checkpoint was cut off."""
    index, data = _with_index_and_with_data(names_in(folder))
    for name in index - data - {os.path.basename(path) for path in checkpoints_in(folder)}:
        remove(os.path.join(folder, f"{name}.index"))
