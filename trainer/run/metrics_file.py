"""metrics.jsonl: the numbers of a run, one JSON object a line."""

import json
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.run.run_dir import METRICS
from trainer.storage.files import write_text


class MetricsFile:
    """Appends lines to a run's metrics.jsonl."""

    def __init__(self, run_dir: str, resumed_step: int) -> None:
        """Opens the file, and drops what lies beyond the step that the run goes on from."""
        path = os.path.join(run_dir, METRICS)
        _drop_lines_after(path, resumed_step)
        self.file = tf.io.gfile.GFile(path, "a")

    def write(self, step: int, epoch: float, values: Mapping[str, float | str]) -> None:
        """Appends one line: step, epoch, and values under their TensorBoard names."""
        line = {"step": step, "epoch": round(epoch, 4), **values}
        self.file.write(json.dumps(line) + "\n")


def read_metrics(run_dir: str) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl; none where a run has just begun."""
    path = os.path.join(run_dir, METRICS)
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        return [json.loads(line) for line in _whole_lines(file.read())]


def _drop_lines_after(path: str, step: int) -> None:
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    kept = "".join(line for line in _whole_lines(text) if json.loads(line)["step"] <= step)
    if kept != text:
        write_text(path, kept)


def _whole_lines(text: str) -> list[str]:
    # A kill can leave the last line cut short; only a whole line ends with a newline.
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
