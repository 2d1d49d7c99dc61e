"""metrics.jsonl: the numbers of a run, one JSON object a line."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.run.run_dir import METRICS
from trainer.storage.bucket import is_gs
from trainer.storage.disk import naming_the_disk
from trainer.storage.files import write_bytes

log = logging.getLogger(__name__)


_IN_EVERY_LINE = ("step", "epoch")
ALARM = "alarm"
"""Name of the one text among the values; all others are numbers."""


class MetricsFile:
    """Appends lines to a run's metrics.jsonl."""

    def __init__(self, run_dir: str, resumed_step: int) -> None:
        """Opens the file, and drops what lies beyond the step that the run goes on from."""
        path = os.path.join(run_dir, METRICS)
        _drop_lines_after(path, resumed_step)
        # Not TensorFlow's on a disk: other calls of it write out its buffer, and a failure then is
        # told to nobody (2.21).
        self._path = path
        opened = tf.io.gfile.GFile if is_gs(path) else open
        self._file = opened(path, "a")

    def write(self, step: int, epoch: float, values: Mapping[str, float | str]) -> None:
        """Appends one line: step, epoch, and values under their TensorBoard names."""
        line = {"step": step, "epoch": round(epoch, 4), **values}
        with naming_the_disk(self._path):
            self._file.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Makes the lines visible to readers."""
        with naming_the_disk(self._path):
            self._file.flush()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        with naming_the_disk(self._path):
            self._file.close()


def read_metrics(run_dir: str) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that can be read; none where a run has just begun."""
    return [values for _, values in _lines(os.path.join(run_dir, METRICS))]


def _drop_lines_after(path: str, step: int) -> None:
    lines = _lines(path)
    kept = b"".join(line for line, values in lines if values["step"] <= step)
    if kept != _content(path):
        write_bytes(path, kept)


def _lines(path: str) -> list[tuple[bytes, dict[str, Any]]]:
    """The lines of numbers, as they stand in the file and as read; the others are told."""
    # What follows the last newline was cut short by a kill.
    whole = _content(path).split(b"\n")[:-1]
    found = [(line + b"\n", values) for line in whole if (values := _read(line))]
    if damaged := len(whole) - len(found):
        log.warning("%s has %d damaged line(s), which are left out", path, damaged)
    return found


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    has_place = all(values.get(name) is not None for name in _IN_EVERY_LINE)
    numbers = (value for name, value in values.items() if name != ALARM)
    are_numbers = all(value is None or type(value) in (int, float) for value in numbers)
    return values if has_place and are_numbers else None


def _content(path: str) -> bytes:
    if not tf.io.gfile.exists(path):
        return b""
    with tf.io.gfile.GFile(path, "rb") as file:
        return bytes(file.read())
