"""What a running training tells: to the terminal, TensorBoard, metrics.jsonl, sample grids."""

import os
import shlex
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.evaluation.alarms import Alarm, Alarms
from trainer.run.metrics_file import ALARM, MetricsFile
from trainer.run.progress import Progress
from trainer.run.run_dir import SAMPLES, grid_path
from trainer.run.tensorboard import TensorBoardWriter
from trainer.sampling.pictures import class_grid
from trainer.storage.files import write_bytes
from trainer.storage.png import png


class RunLogger:
    """Everything that is told between two steps; silent on all workers but the chief."""

    def __init__(
        self,
        config: Config,
        run_dir: str,
        chief: bool,
        start: int,
        total_steps: int,
        epoch_at: Callable[[int], float],
    ) -> None:
        """Opens the files, for a run that goes on from the step `start`.

        `epoch_at` gives the epochs that a number of steps makes.
        """
        self.epoch_at = epoch_at
        self.run_dir = run_dir
        self.alarms = Alarms()
        self.grid_label = "grid" if start else "first grid"
        self.progress = Progress(total_steps, start, visible=chief)
        self.chief = chief
        if chief:
            tf.io.gfile.makedirs(os.path.join(run_dir, SAMPLES))
            self.metrics_file = MetricsFile(run_dir, start)
            self.tensorboard = TensorBoardWriter(run_dir, start)
            as_code = "\n".join(f"    {line}" for line in config.to_json().splitlines())
            self.tensorboard.text(start, "config", as_code)
        self.message(
            f"Watch: the grids in {os.path.join(run_dir, SAMPLES)}, and "
            f"tensorboard --logdir {shlex.quote(run_dir)}"
        )

    def message(self, text: str) -> None:
        """Prints a line."""
        self.progress.message(text)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Tells numbers under their TensorBoard names."""
        self.progress.report(step, self.epoch_at(step), values)
        self.keep(step, values)

    def keep(self, step: int, values: dict[str, float]) -> None:
        """Writes numbers to the files only."""
        if self.chief:
            self.tensorboard.scalars(step, values)
            self.metrics_file.write(step, self.epoch_at(step), values)

    def alarm(self, step: int, source: str, alarms: list[Alarm]) -> None:
        """Tells what a source of alarms says and did not say the last time."""
        for alarm in self.alarms.new(source, alarms):
            self.message(f"ALARM at step {step}: {alarm}")
            if self.chief:
                self.tensorboard.text(step, "alarm", str(alarm))
                self.metrics_file.write(step, self.epoch_at(step), {ALARM: str(alarm)})

    def grid(self, step: int, epoch: int, images: np.ndarray, labels: np.ndarray | None) -> None:
        """Writes the grid of the fixed latents at the end of an epoch; for the chief only.

        Images are uint8 [N, H, W, C]; labels int32 [N], None for a model without classes.
        """
        sheet, path = class_grid(images, labels), grid_path(self.run_dir, epoch)
        write_bytes(path, png(sheet))
        self.message(f"{self.grid_label}: {path}")
        self.grid_label = "grid"
        self.tensorboard.image(step, "samples/fixed_noise", sheet)

    def flush(self) -> None:
        """Makes all that was written visible to readers."""
        if self.chief:
            self.metrics_file.flush()
            self.tensorboard.writer.flush()

    def close(self) -> None:
        """Closes the files and leaves the progress as it stands."""
        self.progress.close()
        if self.chief:
            self.metrics_file.close()
            self.tensorboard.writer.close()
