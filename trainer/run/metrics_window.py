"""What is averaged between two lines of metrics: losses, speed, waiting."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from trainer.errors import DivergedError


class MetricsWindow:
    """The steps since the last line of metrics.

    Metrics stay on their device until `close`, so that no step waits for the host.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.started = clock()
        self.restart()

    def restart(self) -> None:
        """Starts a new interval now."""
        self.steps: list[int] = []
        self.metrics: list[dict[str, tf.Tensor]] = []
        self.restart_clock()

    def restart_clock(self) -> float:
        """Leaves the steps so far, which compiled, out of the speed; returns their seconds."""
        before, self.started = self.started, self.clock()
        self.untimed_steps = len(self.steps)
        self.waited_seconds, self.waits = 0.0, 0
        return self.started - before

    @contextlib.contextmanager
    def waiting_for_input(self) -> Iterator[None]:
        """Counts the time inside as waiting for the input pipeline."""
        before = self.clock()
        yield
        self.waited_seconds += self.clock() - before
        self.waits += 1

    @contextlib.contextmanager
    def left_out(self) -> Iterator[None]:
        """Leaves the time inside, which is no training, out of the speed."""
        before = self.clock()
        yield
        self.started += self.clock() - before

    def add(self, steps: Sequence[int], metrics: dict[str, tf.Tensor]) -> None:
        """Takes the metrics of some steps, float32 [len(steps)], or scalars of one."""
        self.steps.extend(steps)
        self.metrics.append(metrics)

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

    def speed(self, images_per_step: int) -> dict[str, float]:
        """Throughput up to now, and how the wall time splits into waiting and computing.

        Call it after `means`: only then are the steps really done. Empty where no
        step was timed; without the split where steps fetched their own input.
        """
        count, seconds = len(self.steps) - self.untimed_steps, self.clock() - self.started
        if not count:
            return {}
        speed = {"speed/images_per_second": count * images_per_step / seconds}
        if self.waits < count:
            return speed
        return speed | {
            "speed/input_wait_fraction": self.waited_seconds / seconds,
            "speed/input_milliseconds_per_step": 1e3 * self.waited_seconds / count,
            "speed/compute_milliseconds_per_step": 1e3 * (seconds - self.waited_seconds) / count,
        }
