"""loop: the training loop as users run it, over the bare step on one resident batch.

One epoch of configs/mnist.py by trainer/train.py, with its own input, metrics, TensorBoard,
checkpoints and grids, but no evaluation (bench/evaluate.py). The bare step runs in the same
process before and after. The first step, which compiles, and what comes after the last one, the
final pictures and the report, are in neither.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import contextlib
import functools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from bench.contest import Contest, Entry
from bench.records import mnist_or_alike
from bench.report import Outcome, Row
from bench.step import resident_batch
from configs.mnist import get_config
from trainer.config import Config


class Stopwatch:
    """Seconds spent in some methods, by a name for each; calls inside calls count once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running = False

    @contextlib.contextmanager
    def watching(self, methods: dict[str, list[tuple[type, str]]]) -> Iterator[None]:
        """Counts the calls of methods, given by what they count as, while inside."""
        with contextlib.ExitStack() as patches:
            for name, of in methods.items():
                self.seconds.setdefault(name, 0.0)
                for owner, method in of:
                    timed = self._timed(name, getattr(owner, method))
                    patches.enter_context(mock.patch.object(owner, method, timed))
            yield

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*arguments: Any, **options: Any) -> Any:
            if self._running:
                return method(*arguments, **options)
            self._running, started = True, time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self._running = False
                self.seconds[name] += time.perf_counter() - started

        return timed


class Loop:
    """A contestant without opponents: the loop and the bare step share a process."""

    def __init__(self, config: Config) -> None:
        from bench.peers.ours import ResidentStep
        from trainer.strategy import make_strategy

        self.config = config
        self.strategy = make_strategy("auto")
        size = config.train.global_batch_size
        self.resident = ResidentStep(config, self.strategy, resident_batch(size))
        self.resident()

    def run(self, steps: int) -> float:
        """Seconds of some bare steps."""
        started = time.perf_counter()
        for _ in range(steps):
            metrics = self.resident()
        float(metrics["loss/generator"])
        return time.perf_counter() - started

    def train(self) -> dict[str, float]:
        """Trains to the end.

        Returns:
            Steps after the first, their seconds, what these went into, and the seconds from
            there to the end of the run.
        """
        from trainer.run.checkpoints import Checkpoints
        from trainer.run.logger import RunLogger
        from trainer.run.metrics_window import MetricsWindow
        from trainer.train import Run, train

        moments: dict[str, float] = {}
        watch = Stopwatch()

        def after_first_step(outputs: RunLogger, step: int) -> None:
            steps_done(outputs, step)
            moments.setdefault("first", time.perf_counter())
            moments["steps"] = step - 1

        def at_the_end(outputs: RunLogger) -> None:
            close(outputs)
            moments["last"] = time.perf_counter()

        steps_done, close = RunLogger.steps_done, RunLogger.close
        parts: dict[str, list[tuple[type, str]]] = {
            "metrics": [(RunLogger, "scalars"), (RunLogger, "alarm")],
            "grids": [(Run, "_fixed_noise_images"), (RunLogger, "grid")],
            "checkpoints": [
                (Checkpoints, "check_finite"),
                (RunLogger, "flush"),
                (Checkpoints, "save"),
            ],
        }
        waits = _waits(MetricsWindow.waiting_for_input, watch)
        run_dir = tempfile.mkdtemp()
        with (
            mock.patch.object(RunLogger, "steps_done", after_first_step),
            mock.patch.object(RunLogger, "close", at_the_end),
            mock.patch.object(MetricsWindow, "waiting_for_input", waits),
            watch.watching(parts),
        ):
            train(self.config, self.strategy, run_dir)
        ending = time.perf_counter() - moments["last"]
        shutil.rmtree(run_dir)
        seconds = moments["last"] - moments["first"]
        rest = seconds - sum(watch.seconds.values())
        return {
            "steps": moments["steps"],
            "seconds": seconds,
            "ending": ending,
            **watch.seconds,
            "steps and the rest": rest,
        }


def _waits(waiting_for_input: Any, watch: Stopwatch) -> Any:
    """`MetricsWindow.waiting_for_input` that tells a stopwatch too."""
    watch.seconds["input wait"] = 0.0

    @contextlib.contextmanager
    def waiting(interval: Any) -> Iterator[None]:
        started = time.perf_counter()
        with waiting_for_input(interval):
            yield
        watch.seconds["input wait"] += time.perf_counter() - started

    return waiting


def run(quick: bool) -> Outcome:
    """Half an epoch of MNIST; bare steps before and after."""
    config = get_config()
    config.data.records_dir = mnist_or_alike()
    config.evaluation.every_epochs = 0
    config.train.steps = 469
    if quick:
        config.train.steps = 40
        config.train.checkpoint_every_steps, config.train.log_every_steps = 20, 2
    bare_steps, bursts = (5, 1) if quick else (20, 4)
    with Contest([Entry("loop", "bench.loop:Loop", {"config": config})]) as contest:
        before = [contest.ask_one("loop", "run", bare_steps) for _ in range(bursts)]
        parts = contest.ask_one("loop", "train")
        after = [contest.ask_one("loop", "run", bare_steps) for _ in range(bursts)]
    size = config.train.global_batch_size
    speed = parts.pop("steps") * size / parts["seconds"]
    total, ending = parts.pop("seconds"), parts.pop("ending")
    bare = [bare_steps * size / statistics.median(seconds) for seconds in (before, after)]
    return Outcome(
        [
            Row.of("the whole loop", [speed], "images/s"),
            Row.of("the whole loop / the bare step, before and after", [speed / b for b in bare]),
            *(
                Row.of(f"share of {part} in the loop", [100 * seconds / total], "%")
                for part, seconds in parts.items()
            ),
            Row.of("after the last step: pictures, report", [ending], "s"),
        ],
        {
            "seconds": {**parts, "ending": ending},
            "loop_images_per_second": speed,
            "bare_seconds": {"before": before, "after": after, "steps": bare_steps},
        },
    )
