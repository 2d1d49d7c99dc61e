"""What --mode=evaluate found, read from the evaluation.json of a run directory."""

import dataclasses
import json
import logging
import os
from typing import Any

import tensorflow as tf

from trainer.run.run_dir import EVALUATION

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Score:
    """A measure of some images: a value, its 95% interval, what real images score.

    Attributes:
        source: where they come from, the last parts of its path, such as
            `mnist/checkpoints/step-2247`.
        measure: such as `fid_mnist64_1a2b3c4d`.
        samples: images that were compared with as many real ones.
        records: hash of the real images.
    """

    source: str
    measure: str
    samples: int
    records: str
    value: float
    low: float
    high: float
    floor: float


def read_scores(run_dir: str) -> list[Score]:
    """The scores in a run directory, in the file's order; none where there is no such file.

    A damaged file is told and left out.
    """
    path = os.path.join(run_dir, EVALUATION)
    if not tf.io.gfile.exists(path):
        return []
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return [score for entry in json.loads(file.read()) for score in _scores(entry)]
    except (
        *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
        tf.errors.FailedPreconditionError,  # a folder
    ) as error:
        log.warning("%s is damaged and left out: %s: %s", path, type(error).__name__, error)
        return []


def _scores(entry: dict[str, Any]) -> list[Score]:
    """The measures of one evaluated source."""
    parts = entry["source"].rstrip("/").split("/")
    # A checkpoint lies two folders below its run, an export in it.
    source = "/".join(parts[-2:] if entry["step"] is None else parts[-3:])
    return [
        Score(
            source,
            measure,
            int(entry["samples"]),
            str(entry["records"]),
            *(float(found[name]) for name in ("value", "low", "high", "floor")),
        )
        for measure, found in entry["measures"].items()
    ]
