"""What is averaged between two lines of metrics: losses and speed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.errors import DivergedError
from trainer.run.phases import Phase


class MetricsWindow:
    """The steps since the last line of metrics.

    Metrics stay on their device until `means`, so that no step waits for the host.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.metrics: list[dict[str, tf.Tensor]] = []
        self.timed_steps = 0
        self.input_is_apart = True

    def add(self, steps: Sequence[int], metrics: dict[str, tf.Tensor], *, timed: bool) -> None:
        """Takes the metrics of some steps.

        Args:
            steps: their numbers; several are those of one call, which fetched its own input.
            metrics: float32 [len(steps)], or scalars of one.
            timed: whether they count for the speed; not those of the call that compiled.
        """
        self.steps.extend(steps)
        self.metrics.append(metrics)
        if timed:
            self.timed_steps += len(steps)
            self.input_is_apart &= len(steps) == 1

    def means(self) -> dict[str, float]:
        """The metrics, averaged over the steps; waits until these are done.

        Raises:
            DivergedError: a metric is NaN or infinite; names it and its step.
        """
        means = {}
        for name in self.metrics[0]:
            column = np.concatenate([np.atleast_1d(m[name]) for m in self.metrics]).astype(float)
            for bad in np.flatnonzero(~np.isfinite(column)):
                raise DivergedError(f"{name} is {column[bad]} at step {self.steps[bad]}")
            means[name] = math.fsum(column) / len(column)
        return means

    def speed(self, images_per_step: int, seconds: Mapping[Phase, float]) -> dict[str, float]:
        """Throughput of the timed steps, and how their time splits into waiting and computing.

        Args:
            images_per_step: real images that a step takes.
            seconds: of the window by phase, taken after `means`: only then are the steps
                really done. Evaluation, which is no training, is left out.

        Returns:
            Empty where no step was timed; without the split where steps fetched their own input.
        """
        if not self.timed_steps:
            return {}
        total = sum(seconds.values()) - seconds.get("evaluation", 0.0)
        speed = {"speed/images_per_second": self.timed_steps * images_per_step / total}
        if not self.input_is_apart:
            return speed
        waited = seconds.get("input", 0.0)
        return speed | {
            "speed/input_wait_fraction": waited / total,
            "speed/input_milliseconds_per_step": 1e3 * waited / self.timed_steps,
            "speed/compute_milliseconds_per_step": 1e3 * (total - waited) / self.timed_steps,
        }
