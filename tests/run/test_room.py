"""What a run is to keep, against the room on its disk."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.helpers.tiny import tiny_config
from trainer.config import Config
from trainer.errors import UserError
from trainer.run.room import check_room
from trainer.run.schedule import Schedule

Usage = namedtuple("Usage", "total used free")
EACH = 5_000_000
GRIDS = 2 * 9 * 64 * 3  # two files of 9 images of 8x8 for two epochs, and one more


def with_checkpoints(folder: Path, steps: tuple[int, ...]) -> str:
    (folder / "checkpoints").mkdir()
    for step in steps:
        (folder / f"checkpoints/step-{step}.index").touch()
    return str(folder)


def config_of(steps: int, keep: int, evaluates: bool) -> Config:
    config = tiny_config()
    config.train.steps, config.train.checkpoints_to_keep = steps, keep
    config.evaluation.every_epochs = int(evaluates)
    return config


@pytest.mark.parametrize(
    "steps, keep, evaluates, there, copies",
    [
        (5, 3, False, (), 2),  # at steps 4 and 5
        (40, 3, False, (), 4),  # the fourth is written before the first goes
        (40, 3, False, (4, 8, 12), 1),
        (40, 3, True, (4, 8, 12), 3),  # two in best/
        (40, 1, False, (4, 8, 12), 1),  # fewer to keep than there are
    ],
)
def test_room_for_what_is_to_come(
    steps: int,
    keep: int,
    evaluates: bool,
    there: tuple[int, ...],
    copies: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_dir, step = with_checkpoints(tmp_path, there), there[-1] if there else 0
    config = config_of(steps, keep, evaluates)
    schedule = Schedule(config, num_images=20 if steps == 5 else 160)
    free = {"bytes": copies * EACH + GRIDS}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free["bytes"]))
    check_room(run_dir, config, schedule, step, EACH)
    check_room("gs://bucket/run", config, schedule, step, 10**12)
    free["bytes"] = copies * EACH - 1
    sentence = (
        rf"{tmp_path}.* takes about {copies * 5}\.0 MB, and the disk has .* MB free: make room"
    )
    with pytest.raises(UserError, match=sentence):
        check_room(run_dir, config, schedule, step, EACH)
    check_room(run_dir, config, schedule, steps, EACH)  # nothing is to come
