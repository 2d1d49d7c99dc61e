"""The training loop, top to bottom."""

import contextlib
import logging
import os
import signal
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.data.distributed import distributed_batches, naming_damaged_records
from trainer.data.prepare import prepared_records
from trainer.data.tfrecord import Manifest
from trainer.errors import DivergedError, StoppedError
from trainer.evaluation.alarms import discriminator_alarms
from trainer.gan.build import build_gan
from trainer.gan.step import AdversarialStep
from trainer.report.page import write_report
from trainer.run.checkpoints import Checkpoints
from trainer.run.logger import RunLogger
from trainer.run.metrics_window import MetricsWindow
from trainer.run.quality_monitor import QualityMonitor
from trainer.run.results import write_final_pictures
from trainer.run.run_dir import BEST, REPORT, SAMPLES, claim_run_dir
from trainer.run.schedule import Schedule
from trainer.run.signals import SignalWatch
from trainer.sampling.sampler import Sampler
from trainer.strategy import (
    any_worker_says,
    check_agreement,
    check_shares,
    environment,
    is_chief,
    is_multiworker,
    may_jit,
    sum_dtype,
    wait_for_all_workers,
)

log = logging.getLogger(__name__)


def train(config: Config, strategy: tf.distribute.Strategy, run_dir: str) -> "Run":
    """Trains to the end, going on from the run directory's newest checkpoint.

    Args:
        config: a validated config.
        strategy: where the step runs.
        run_dir: the run directory; only the chief writes there.

    Returns:
        The run that has ended. To free it can take a minute: see `batches` there.

    Raises:
        UserError: bad input, or the run directory of another run.
        DivergedError: a loss or a weight is not finite.
        StoppedError: SIGTERM or Ctrl-C; the state was saved first.
    """
    # ------------------------------------------------------------ What can be checked at once
    check_shares(config, strategy)
    chief = is_chief(strategy)
    if chief:
        claim_run_dir(run_dir, config, environment(strategy))

    # ------------------------------------------------------------ Data
    manifest = prepared_records(
        config.data.records_dir,
        config.data.source,
        shards=config.data.shards,
        resolution=config.model.resolution,
        channels=config.model.channels,
        num_classes=config.model.num_classes,
    )

    # ------------------------------------------------------------ State
    with strategy.scope():
        run = Run(config, strategy, manifest, run_dir, chief)
    # Where to start: 1. the newest checkpoint that can be read; 2. the initial weights.
    start = run.checkpoints.restore() or 0
    check_agreement(
        strategy, {"config": zlib.crc32(config.to_json().encode()), "last checkpoint": start}
    )
    if start >= run.schedule.total_steps and chief:
        print(
            f"{run_dir} is finished: step {start} of {run.schedule.total_steps}. To go on, raise "
            "--config.train.epochs or --config.train.steps; to start anew, choose another "
            "--run_dir."
        )

    # ------------------------------------------------------------ Loop
    while start < run.schedule.total_steps and not run.ended_early:
        try:
            start = run.loop(start)
        except DivergedError as error:
            start = run.roll_back(error)

    # ------------------------------------------------------------ Results
    if chief:
        pictures = write_final_pictures(run_dir)
        if run.monitor:
            pictures.append(run.monitor.write_nearest())
        report = os.path.join(run_dir, REPORT)
        write_report([run_dir], report)
        print(f"Grids:       {run_dir}/{SAMPLES}/")
        for path in pictures:
            print(f"Picture:     {path}")
        print(f"Report:      {report}")
        print(f"TensorBoard: tensorboard --logdir {run_dir}")
        print(f"Samples:     python -m trainer.main --mode=sample --run_dir={run_dir}")
    return run


class Run:
    """One run between its first and its last step; build it inside `strategy.scope()`.

    Attributes:
        batches: the iterator of the loop. When it is freed, it waits for tf.data's tuning thread,
            which sleeps up to a minute at a time (TensorFlow 2.21).
    """

    def __init__(
        self,
        config: Config,
        strategy: tf.distribute.Strategy,
        manifest: Manifest,
        run_dir: str,
        chief: bool,
    ) -> None:
        self.config = config
        self.strategy = strategy
        self.manifest = manifest
        self.run_dir = run_dir
        self.chief = chief
        self.gan = build_gan(config)
        self.checkpoints = Checkpoints(self.gan, run_dir, config.train.checkpoints_to_keep)
        self.sampler = Sampler(self.gan.sampled)
        self.schedule = Schedule(config, manifest.num_images)
        self.batches: Iterator[Any] | None = None
        self.monitor: QualityMonitor | None = None
        self.ended_early = False

    def loop(self, start: int) -> int:
        """Runs steps `start` + 1 to the last, and returns the last."""
        train_step = AdversarialStep(
            self.gan,
            self.config,
            self.strategy,
            may_jit(self.strategy, self.config.train.jit_compile),
            sum_dtype(self.strategy),
        )
        every, due = self.config.train, self.schedule
        first_batch = start + int(self.gan.batches_skipped.numpy())
        batches = self.batches = distributed_batches(
            self.config, self.strategy, self.manifest, first_batch * every.discriminator_steps
        )
        out = RunLogger(self.config, self.run_dir, self.chief, start, due.total_steps, due.epoch_at)
        if self.chief and self.config.evaluation.every_epochs:
            self.monitor = QualityMonitor(self.config, self.manifest, self.sampler, self.run_dir)
        self.ended_early = self._is_out_of_patience()
        out.message(self._opening_line(start))
        interval, step = MetricsWindow(), start
        with SignalWatch() as signals, contextlib.closing(out):
            while step < due.total_steps and not self.ended_early:
                steps = range(step + 1, due.end_of_call(step) + 1)
                stopping = self._call(train_step, batches, steps, interval, signals)
                step = steps[-1]
                out.steps_done(step)
                if steps[0] == start + 1:
                    out.scalars(step, {"speed/first_step_seconds": interval.restart_clock()})

                saves = stopping or due.is_due(step, every.checkpoint_every_steps)
                if saves or due.is_due(step, every.log_every_steps):
                    self._close(interval, step, out)
                epoch = due.epoch_due(step, every.grid_every_epochs)
                if self.chief and epoch:
                    out.grid(step, epoch, *self._fixed_noise_images())
                if due.epoch_due(step, self.config.evaluation.every_epochs):
                    with interval.left_out():
                        self._evaluate(step, out)
                if saves or self.ended_early:
                    self._save(step, out)
                if stopping or step == due.total_steps or self.ended_early:
                    # A worker that leaves while the chief still writes would take it along.
                    wait_for_all_workers(self.strategy)
                if stopping:
                    raise StoppedError(
                        signals.received or signal.SIGTERM,
                        f"stopped at step {step} of {due.total_steps}; all is saved: give the "
                        "same command again to go on.",
                        is_multiworker(self.strategy),
                    )
        return step

    def roll_back(self, error: DivergedError) -> int:
        """Goes back to the last checkpoint and leaves out the batches that led to the error.

        Returns:
            The step of the checkpoint.

        Raises:
            DivergedError: the config wants to stop, or allows no further rollback.
        """
        reached, skipped, rollbacks = (
            int(counter.numpy())
            for counter in (self.gan.step, self.gan.batches_skipped, self.gan.rollbacks)
        )
        if self.config.train.on_divergence == "stop":
            raise error
        if rollbacks >= self.config.train.rollbacks_at_most:
            raise DivergedError(f"{error} (after {rollbacks} rollbacks)") from error
        start = self.checkpoints.restore()
        if start is None:
            raise error
        self.gan.batches_skipped.assign(skipped + reached - start)
        self.gan.rollbacks.assign(rollbacks + 1)
        log.warning("%s. Rollback %d to step %d", error, rollbacks + 1, start)
        return start

    def _call(
        self,
        train_step: AdversarialStep,
        batches: Iterator[Any],
        steps: range,
        interval: MetricsWindow,
        signals: SignalWatch,
    ) -> bool:
        """Runs some steps; returns whether this or another worker was told to stop."""
        stop = tf.constant(0.0 if signals.received is None else 1.0)
        with naming_damaged_records(self.config.data.records_dir):
            if len(steps) == 1:
                with interval.waiting_for_input():
                    taken = [next(batches) for _ in range(self.config.train.discriminator_steps)]
                metrics, anyone_stops = train_step(taken, stop)
            else:
                metrics, anyone_stops = train_step.run_many(batches, tf.constant(len(steps)), stop)
        interval.add(steps, metrics)
        if is_multiworker(self.strategy):
            return bool(anyone_stops > 0)
        return signals.received is not None

    def _save(self, step: int, out: RunLogger) -> None:
        self.checkpoints.check_finite(step)
        if self.chief:
            out.flush()
            self.checkpoints.save(step)

    def _evaluate(self, step: int, out: RunLogger) -> None:
        """Scores the generator on the chief, and lets all workers know whether that is enough."""
        if self.monitor:
            finding = self.monitor.evaluate(step)
            out.message(f"step {step}  {finding.headline}")
            out.keep(step, finding.values)
            out.alarm(step, "quality", finding.alarms)
            if finding.is_best:
                self.checkpoints.save_best(step)
        self.ended_early = self._is_out_of_patience()
        if self.ended_early:
            settings = self.config.evaluation
            out.message(
                f"no better {settings.best_by} in {settings.patience_evaluations} evaluations: "
                f"ended at step {step}; the best is in {self.run_dir}/{BEST}."
            )

    def _is_out_of_patience(self) -> bool:
        if not self.config.evaluation.patience_evaluations:
            return False
        own = self.monitor is not None and self.monitor.out_of_patience
        return any_worker_says(self.strategy, own)

    def _close(self, interval: MetricsWindow, step: int, out: RunLogger) -> None:
        """Tells the interval's numbers and starts the next."""
        try:
            values = interval.means()
        except DivergedError as error:
            raise self.checkpoints.diverged(str(error)) from error
        speed = interval.speed(self.config.images_per_step)
        interval.restart()
        out.scalars(step, values | speed | self._learning_rates())
        out.alarm(step, "losses", discriminator_alarms(values))

    def _learning_rates(self) -> dict[str, float]:
        optimizers = {
            "learning_rate/generator": self.gan.generator_optimizer,
            "learning_rate/discriminator": self.gan.discriminator_optimizer,
        }
        # Through a tensor: a variable that replicas share is no number of its own.
        return {
            name: float(tf.convert_to_tensor(optimizer.learning_rate))
            for name, optimizer in optimizers.items()
        }

    def _fixed_noise_images(self) -> tuple[np.ndarray, np.ndarray | None]:
        count = self.config.train.grid_images
        images = np.concatenate(list(self.sampler.images(self.config.seed, count)))
        return images, self.sampler.labels(count)

    def _opening_line(self, start: int) -> str:
        replicas = self.strategy.num_replicas_in_sync
        begins = f"goes on from step {start}" if start else "starts"
        return (
            f"{self.manifest.num_images} images of {self.config.data.source}, {replicas} "
            f"replica(s); {begins} and ends at step {self.schedule.total_steps}. Compiling ..."
        )
