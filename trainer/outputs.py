"""What a running training tells: to the terminal, TensorBoard, metrics.jsonl, sample grids."""

from collections.abc import Callable

import numpy as np

from trainer.config import Config
from trainer.evaluation.alarms import Alarms
from trainer.progress import Progress
from trainer.summaries import SummaryWriter


class Outputs:
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
        """Opens the files.

        Args:
            config: shown on TensorBoard.
            run_dir: where the files are.
            chief: whether this worker is the one that tells.
            start: the step that the run goes on from.
            total_steps: the step at which it ends.
            epoch_at: epochs that a number of steps makes.
        """
        self.epoch_at = epoch_at
        self.alarms = Alarms()
        self.progress = Progress(total_steps, start, visible=chief)
        self.writer = SummaryWriter(run_dir, start) if chief else None
        if self.writer:
            self.writer.config(start, config.to_json())

    def message(self, text: str) -> None:
        """Prints a line."""
        self.progress.message(text)

    def steps_done(self, step: int) -> None:
        """Counts up to `step`."""
        self.progress.steps_done(step)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Tells numbers under their TensorBoard names."""
        self.progress.report(step, self.epoch_at(step), values)
        self.keep(step, values)

    def keep(self, step: int, values: dict[str, float]) -> None:
        """Writes numbers to the files only."""
        if self.writer:
            self.writer.scalars(step, self.epoch_at(step), values)

    def alarm(self, step: int, source: str, alarms: list[str]) -> None:
        """Tells what a source of alarms says and did not say the last time."""
        for alarm in self.alarms.new(source, alarms):
            self.message(f"ALARM at step {step}: {alarm}")
            if self.writer:
                self.writer.alarm(step, self.epoch_at(step), alarm)

    def grid(self, step: int, epoch: int, images: np.ndarray, labels: np.ndarray | None) -> None:
        """Writes the grid of the fixed latents."""
        if self.writer:
            self.writer.fixed_noise_grid(step, epoch, images, labels)

    def flush(self) -> None:
        """Makes all that was written visible to readers."""
        if self.writer:
            self.writer.flush()

    def close(self) -> None:
        """Closes the files and leaves the progress as it stands."""
        self.progress.close()
        if self.writer:
            self.writer.close()
