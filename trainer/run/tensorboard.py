"""TensorBoard's event files of a run."""

import contextlib
import os
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from trainer.run.run_dir import TENSORBOARD
from trainer.storage.bucket import is_gs
from trainer.storage.files import names_in, temporary_name

# What TensorFlow's writer takes at most: it computes microseconds in 32 bits.
_QUEUE_AT_MOST = 2**31 - 1
_FLUSH_MILLIS_AT_MOST = 2_000_000


class TensorBoardWriter:
    """Writes one run's events; made on the chief only."""

    def __init__(self, run_dir: str, resumed_step: int) -> None:
        """Opens a file, and drops events beyond the step that the run goes on from."""
        directory = _events_directory(run_dir)
        _drop_events_after(directory, resumed_step)
        self.on_gs = is_gs(directory)
        self.writer = _event_writer(directory)

    def text(self, step: int, name: str, text: str) -> None:
        """Shows Markdown on the text page."""
        with self._events_at(step):
            tf.summary.text(name, text)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars by name."""
        with self._events_at(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes an image, [H, W, C] uint8."""
        with self._events_at(step):
            tf.summary.image(name, image[None])

    @contextlib.contextmanager
    def _events_at(self, step: int) -> Iterator[None]:
        # Not `as_default`, which flushes at its end: on gs:// that uploads the whole file.
        self.writer.set_as_default(step)
        yield
        if not self.on_gs:
            self.writer.flush()


def _events_directory(run_dir: str) -> str:
    # Vertex AI's own TensorBoard shows only what a job writes to the place that it names.
    if "AIP_TENSORBOARD_RESOURCE_NAME" in os.environ:
        return os.environ["AIP_TENSORBOARD_LOG_DIR"]
    return os.path.join(run_dir, TENSORBOARD)


def _event_writer(directory: str) -> tf.summary.SummaryWriter:
    if not is_gs(directory):
        return tf.summary.create_file_writer(directory)
    # Objects cannot grow: by itself the writer would upload the whole file every ten summaries.
    # Before a checkpoint is enough.
    return tf.summary.create_file_writer(
        directory, max_queue=_QUEUE_AT_MOST, flush_millis=_FLUSH_MILLIS_AT_MOST
    )


def _drop_events_after(directory: str, step: int) -> None:
    events = [name for name in names_in(directory) if name.startswith("events.out.tfevents.")]
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
