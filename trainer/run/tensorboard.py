"""TensorBoard's event files of a run."""

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util.tensor_util import make_tensor_proto

from trainer.run.run_dir import TENSORBOARD
from trainer.storage.bucket import is_gs
from trainer.storage.files import names_in, temporary_name
from trainer.storage.png import png

_PREFIX = "events.out.tfevents."


class TensorBoardWriter:
    """Writes one run's events; made on the chief only.

    Not TensorFlow's writer of summaries: where a write fails in the middle of a large event, it
    loses the event and says nothing (2.21).
    """

    def __init__(self, run_dir: str, resumed_step: int) -> None:
        """Opens a file, and drops events beyond the step that the run goes on from."""
        directory = _events_directory(run_dir)
        _drop_events_after(directory, resumed_step)
        self.on_gs = is_gs(directory)
        tf.io.gfile.makedirs(directory)
        # By time, and another one after a rollback within the second.
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        name = f"{_PREFIX}{seconds}.{socket.gethostname()}.{os.getpid()}.{nanoseconds}"
        self.writer = tf.io.TFRecordWriter(os.path.join(directory, name))
        self._write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def text(self, step: int, name: str, text: str) -> None:
        """Shows Markdown on the text page."""
        self._add(step, name, text_metadata.create_summary_metadata(name, ""), text.encode())

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars by name."""
        for name, value in values.items():
            metadata = scalar_metadata.create_summary_metadata(name, "")
            self._add(step, name, metadata, np.float32(value))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes an image, [H, W, C] uint8."""
        height, width, _ = image.shape
        content = [str(width).encode(), str(height).encode(), png(image)]
        metadata = image_metadata.create_summary_metadata(name, "")
        self._add(step, name, metadata, np.array(content, object))

    def _add(self, step: int, name: str, metadata: Any, value: Any) -> None:
        event = event_pb2.Event(wall_time=time.time(), step=step)
        tensor = make_tensor_proto(value)
        event.summary.value.add(tag=name, metadata=metadata, tensor=tensor)
        self._write(event)

    def _write(self, event: event_pb2.Event) -> None:
        self.writer.write(event.SerializeToString())
        # On gs:// that would upload the whole file.
        if not self.on_gs:
            self.writer.flush()


def _events_directory(run_dir: str) -> str:
    # Vertex AI's own TensorBoard shows only what a job writes to the place that it names.
    if "AIP_TENSORBOARD_RESOURCE_NAME" in os.environ:
        return os.environ["AIP_TENSORBOARD_LOG_DIR"]
    return os.path.join(run_dir, TENSORBOARD)


def _drop_events_after(directory: str, step: int) -> None:
    events = [name for name in names_in(directory) if name.startswith(_PREFIX)]
    for path in (os.path.join(directory, name) for name in events):
        kept, dropped = [], 0
        try:
            for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
                if tf.compat.v1.Event.FromString(record).step <= step:
                    kept.append(record)
                else:
                    dropped += 1
        except tf.errors.DataLossError:  # a kill cut the last event short
            dropped += 1
        if dropped:
            temporary = temporary_name(os.path.join(directory, "rewritten"))
            with tf.io.TFRecordWriter(temporary) as writer:
                for record in kept:
                    writer.write(record)
            tf.io.gfile.rename(temporary, path, overwrite=True)
