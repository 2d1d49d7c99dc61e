"""Whether all that a run is to keep fits on its disk, before the first step."""

import os

from trainer.config import Config
from trainer.run.run_dir import BEST, CHECKPOINTS, checkpoints_in
from trainer.run.schedule import Schedule
from trainer.storage import disk

_GRID_FILES = 2  # as PNG and in TensorBoard's events


def check_room(run_dir: str, config: Config, schedule: Schedule, step: int, each: int) -> None:
    """Checks that a local disk has room for the rest of a run.

    An estimate: checkpoints by the bytes of their variables, grids by those of their pixels.

    Args:
        run_dir: the run directory.
        config: of the run.
        schedule: of the run.
        step: where it goes on from.
        each: bytes of a checkpoint.

    Raises:
        UserError: there is too little; says how much is needed and free, and the mends.
    """
    if step >= schedule.total_steps:
        return
    needed = each * _checkpoints_to_come(run_dir, config, schedule, step)
    needed += _grids_to_come(config, schedule, step) * _bytes_of_grid(config)
    disk.check_room(
        run_dir,
        needed,
        f"--run_dir={run_dir}: what this run is yet to keep (checkpoints of {disk.amount(each)}, "
        "grids) takes",
        "make room, lower --config.train.checkpoints_to_keep, raise "
        "--config.train.grid_every_epochs, or choose another --run_dir",
    )


def _checkpoints_to_come(run_dir: str, config: Config, schedule: Schedule, step: int) -> int:
    """By how many more there will be at once: a new one is written before an old one goes."""
    every = config.train.checkpoint_every_steps
    saves = -(-schedule.total_steps // every) - step // every
    there = len(checkpoints_in(os.path.join(run_dir, CHECKPOINTS)))
    more = max(min(config.train.checkpoints_to_keep + 1, there + saves) - there, 1)
    if not config.evaluation.every_epochs:
        return more
    return more + 2 - len(checkpoints_in(os.path.join(run_dir, BEST)))


def _grids_to_come(config: Config, schedule: Schedule, step: int) -> int:
    epochs = schedule.epoch_at(schedule.total_steps) - schedule.epoch_at(step)
    return int(epochs / config.train.grid_every_epochs) + 1


def _bytes_of_grid(config: Config) -> int:
    model = config.model
    pixels = config.train.grid_images * model.resolution**2 * model.channels
    return _GRID_FILES * pixels
