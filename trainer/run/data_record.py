"""data.json: what a run is trained on, kept so that the rest can do without the records."""

import dataclasses
import json
import logging
import os

import tensorflow as tf

from trainer.data.tfrecord import Manifest
from trainer.run.run_dir import DATA
from trainer.storage.files import write_text

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """The records of a run.

    Attributes:
        source: what they were prepared from, as `prepare` was given it.
        num_images: how many there are.
        class_names: names of the labels, in their order; empty where they have none.
    """

    source: str
    num_images: int
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> "DataRecord":
        """What a manifest says of its records."""
        return cls(manifest.source, manifest.num_images, manifest.class_names)

    def __str__(self) -> str:
        return f"{self.num_images} images of {self.source}"


def tell_other_records(run_dir: str, manifest: Manifest, use: str) -> None:
    """Logs it where records, put to some use now, are not those that the run was trained on."""
    before, now = read_data_record(run_dir), DataRecord.of(manifest)
    if before and before != now:
        log.warning("%s was trained on %s, and is %s %s", run_dir, before, use, now)


def write_data_record(run_dir: str, manifest: Manifest) -> None:
    """Notes what the run is trained on from now on."""
    values = dataclasses.asdict(DataRecord.of(manifest))
    write_text(os.path.join(run_dir, DATA), json.dumps(values, indent=2) + "\n")


def read_data_record(run_dir: str) -> DataRecord | None:
    """What a run was last trained on; None where an earlier version wrote none, or it is damaged.

    Damage is logged: it costs no more than the names.
    """
    path = os.path.join(run_dir, DATA)
    if not tf.io.gfile.exists(path):
        return None
    try:
        with tf.io.gfile.GFile(path) as file:
            values = json.loads(file.read())
        names = values["class_names"]
        record = DataRecord(**values | {"class_names": tuple(names)})
        texts = (record.source, *names)
        if not (
            isinstance(names, list)
            and isinstance(record.num_images, int)
            and all(isinstance(text, str) for text in texts)
        ):
            raise ValueError(f"{record.num_images!r} images of {record.source!r}, {names!r}")
        return record
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("%s is damaged and left out: %s", path, error)
        return None
