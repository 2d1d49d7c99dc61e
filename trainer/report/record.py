"""What a run directory holds, read for a report."""

import dataclasses
import datetime
import logging
import math
import os
import statistics
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer.config import Config
from trainer.report.charts import Point
from trainer.report.evaluations import Score, read_scores
from trainer.run.data_record import DataRecord, read_data_record
from trainer.run.metrics_file import read_metrics
from trainer.run.run_dir import (
    CONFIG,
    ENVIRONMENT,
    METRICS,
    NEAREST,
    QUALITY_FLOOR,
    SAMPLES,
    TIMELAPSE,
    epoch_of_grid,
    grid_paths,
    json_object,
    read_config,
)

log = logging.getLogger(__name__)

_GRIDS_AT_MOST = 40


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run as its directory shows it; what the run has not written is empty or None."""

    name: str
    config: Config
    environment: dict[str, Any]
    metrics: list[dict[str, Any]]
    """The lines of metrics.jsonl; each may lack any name but the step."""
    floor: dict[str, float]
    """What real images reach against other real images, by the name of the metric."""
    scores: list[Score]
    """What --mode=evaluate found, of this run or of several."""
    changed: datetime.datetime
    """When the newest numbers were written."""
    row_names: tuple[str, ...]
    """Of the rows of each grid; none where they are no classes."""
    grids: dict[int, bytes]
    """PNG files by epoch, some of them evenly chosen where there are many."""
    timelapse: bytes | None
    nearest: bytes | None
    too_large: list[str]
    """Pictures that would take too much of a page, with their size."""

    def points(self, metric: str) -> list[Point]:
        """A metric over the epochs; lines without it are passed over, NaN is a gap."""
        return [
            (epoch, _finite(line[metric]))
            for line in self.metrics
            if metric in line and (epoch := _finite(line.get("epoch"))) is not None
        ]

    def values(self, metric: str) -> list[float]:
        """The finite values of a metric."""
        return [value for _, value in self.points(metric) if value is not None]

    def newest(self, name: str) -> float | None:
        """The last finite number of this name, be it a metric, the step or the epoch."""
        found = (_finite(line.get(name)) for line in reversed(self.metrics))
        return next((value for value in found if value is not None), None)

    def median(self, metric: str) -> float | None:
        """The median of a metric over the whole run."""
        values = self.values(metric)
        return statistics.median(values) if values else None


Records = Sequence[RunRecord]


def read_run(run_dir: str, picture_bytes: int) -> RunRecord:
    """Reads a run directory, of a finished run or of one that is under way.

    Args:
        run_dir: the run directory, local or gs://.
        picture_bytes: that all pictures may have together; a quarter of it each for the
            timelapse and the nearest images, the rest for the grids.

    Raises:
        UserError: the directory holds no run.
    """
    config, data = read_config(run_dir), read_data_record(run_dir)
    numbers = os.path.join(run_dir, METRICS)
    has_numbers = tf.io.gfile.exists(numbers)
    changed = tf.io.gfile.stat(numbers if has_numbers else os.path.join(run_dir, CONFIG))
    too_large: list[str] = []
    return RunRecord(
        name=os.path.basename(os.path.abspath(run_dir)),
        config=config.trained_on(data.source) if data else config,
        row_names=_row_names(config, data),
        environment=json_object(os.path.join(run_dir, ENVIRONMENT)),
        metrics=read_metrics(run_dir),
        floor={
            metric: value
            for metric, given in json_object(os.path.join(run_dir, QUALITY_FLOOR)).items()
            if (value := _finite(given)) is not None
        },
        scores=read_scores(run_dir),
        changed=datetime.datetime.fromtimestamp(changed.mtime_nsec / 1e9, datetime.UTC),
        grids=_grids(run_dir, picture_bytes // 2, too_large),
        timelapse=_picture(run_dir, TIMELAPSE, picture_bytes // 4, too_large),
        nearest=_picture(run_dir, NEAREST, picture_bytes // 4, too_large),
        too_large=too_large,
    )


def evenly_chosen(items: Sequence[str], count: int) -> list[str]:
    """`count` of the items, at most all: the last, the first and even steps between."""
    count = min(count, len(items))
    last, gaps = len(items) - 1, max(count - 1, 1)
    return [items[last - round(index * last / gaps)] for index in reversed(range(count))]


def _row_names(config: Config, data: DataRecord | None) -> tuple[str, ...]:
    rows = min(config.model.num_classes, config.train.grid_images)
    return data.class_names[:rows] if data and rows > 1 else ()


def _grids(run_dir: str, bytes_at_most: int, too_large: list[str]) -> dict[int, bytes]:
    ordered = grid_paths(run_dir)
    sizes = {path: tf.io.gfile.stat(path).length for path in ordered}
    for count in range(min(_GRIDS_AT_MOST, len(ordered)), 0, -1):
        chosen = evenly_chosen(ordered, count)
        if sum(sizes[path] for path in chosen) <= bytes_at_most:
            return {epoch_of_grid(path): _content(path) for path in chosen}
    if ordered:
        too_large.append(f"{SAMPLES}/epoch_*.png ({sizes[ordered[-1]] / 1e6:.1f} MB each)")
    return {}


def _picture(run_dir: str, name: str, bytes_at_most: int, too_large: list[str]) -> bytes | None:
    path = os.path.join(run_dir, name)
    if not tf.io.gfile.exists(path):
        return None
    size = tf.io.gfile.stat(path).length
    if size > bytes_at_most:
        too_large.append(f"{name} ({size / 1e6:.1f} MB)")
        return None
    return _content(path)


def _content(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
