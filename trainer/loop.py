"""The training loop: a step, then all that is due after it."""

import contextlib
import dataclasses
import logging
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.data.distributed import distributed_batches
from trainer.data.pipeline import naming_damaged_records
from trainer.data.tfrecord import Manifest
from trainer.errors import DivergedError, StoppedError
from trainer.evaluation.alarms import discriminator_alarms
from trainer.gan.build import build_gan
from trainer.gan.gradients import Metrics
from trainer.gan.step import AdversarialStep
from trainer.run.checkpoints import Checkpoints
from trainer.run.environment import Environment
from trainer.run.input_watch import telling_of_waits
from trainer.run.logger import RunLogger
from trainer.run.metrics_window import MetricsWindow
from trainer.run.phases import Phases, scalars_of
from trainer.run.quality_monitor import QualityMonitor
from trainer.run.run_dir import BEST
from trainer.run.schedule import Schedule
from trainer.run.signals import SignalWatch
from trainer.sampling.sampler import Sampler
from trainer.strategy import any_worker_says, is_multiworker, sum_dtype, wait_for_all_workers

log = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class Run:
    """One run between its first and its last step; build it inside `strategy.scope()`.

    Attributes:
        config: its compiler decided.
        machine: what computes the run from here on.
        batches: the iterator of the loop. When it is freed, it waits for tf.data's tuning thread,
            which sleeps up to a minute at a time (TensorFlow 2.21).
    """

    config: Config
    machine: Environment
    strategy: tf.distribute.Strategy
    manifest: Manifest
    run_dir: str
    chief: bool
    phases: Phases

    def __post_init__(self) -> None:
        keep = self.config.train.checkpoints_to_keep
        self.schedule = Schedule(self.config, self.manifest.num_images)
        self.gan = build_gan(self.config, self.schedule.total_steps)
        self.checkpoints = Checkpoints(self.gan, self.run_dir, keep, self.chief, self.machine)
        self.sampler = Sampler(self.gan.sampled)
        self.batches: Iterator[Any] | None = None
        self.monitor: QualityMonitor | None = None
        self.ended_early = False

    def loop(self, start: int) -> int:
        """Runs steps `start` + 1 to the last, and returns the last."""
        config, schedule, phases = self.config, self.schedule, self.phases
        train_step, logger = self._prepare(start)
        window, step = MetricsWindow(), start
        with (
            SignalWatch() as signals,
            contextlib.closing(logger),
            telling_of_waits(phases, logger.message),
        ):
            phases.enter("steps")
            while step < schedule.total_steps and not self.ended_early:
                steps = range(step + 1, schedule.end_of_call(step) + 1)
                is_first = step == start
                with phases.phase("first_step" if is_first else "steps"):
                    metrics, stopping = self._call(train_step, steps, signals)
                window.add(steps, metrics, timed=not is_first)
                step = steps[-1]
                logger.progress.steps_done(step)
                if is_first:
                    logger.scalars(step, scalars_of(phases.take()))

                saves = stopping or schedule.is_due(step, config.train.checkpoint_every_steps)
                if saves or schedule.is_due(step, config.train.log_every_steps):
                    self._log(window, step, logger)
                    window = MetricsWindow()
                epoch = schedule.epoch_due(step, config.train.grid_every_epochs)
                if self.chief and epoch:
                    with phases.phase("grids"):
                        logger.grid(step, epoch, *self._fixed_noise_images())
                if schedule.epoch_due(step, config.evaluation.every_epochs):
                    with phases.phase("evaluation"):
                        self._evaluate(step, logger)
                if saves or self.ended_early:
                    with phases.phase("checkpoints"):
                        self._save(step, logger)
                if stopping or step == schedule.total_steps or self.ended_early:
                    # A worker that leaves while the chief still writes would take it along.
                    wait_for_all_workers(self.strategy)
                if stopping:
                    raise self._stopped(step, signals)
        return step

    def _prepare(self, start: int) -> tuple[AdversarialStep, RunLogger]:
        """All that the loop needs from step `start` on: the step, batches, logger, monitor."""
        config, schedule = self.config, self.schedule
        self.phases.enter("startup")
        train_step = AdversarialStep(self.gan, config, self.strategy, sum_dtype(self.strategy))
        first_batch = start + int(self.gan.batches_skipped.numpy())
        with self.phases.phase("data"):
            self.batches = distributed_batches(
                config, self.strategy, self.manifest, first_batch * config.train.discriminator_steps
            )
        logger = RunLogger(
            config.trained_on(self.manifest.source),
            self.run_dir,
            self.chief,
            start,
            schedule.total_steps,
            schedule.epoch_at,
        )
        if self.chief and config.evaluation.every_epochs:
            logger.message("Getting the features of the real images, for the measures ...")
            with self.phases.phase("evaluator"):
                self.monitor = QualityMonitor(config, self.manifest, self.sampler, self.run_dir)
            for caveat in self.monitor.evaluator.caveats:
                logger.message(f"note: {caveat}")
        self.ended_early = self._is_out_of_patience()
        logger.message(self._opening_line(start))
        return train_step, logger

    def roll_back(self, error: DivergedError) -> int:
        """Goes back to the last checkpoint, whose step it returns, without the batches since then.

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
        self, train_step: AdversarialStep, steps: range, signals: SignalWatch
    ) -> tuple[Metrics, bool]:
        """Runs some steps: their metrics, and whether this or another worker was told to stop."""
        assert self.batches is not None
        stop = tf.constant(0.0 if signals.received is None else 1.0)
        with naming_damaged_records(self.config.data.records_dir):
            if len(steps) == 1:
                with self.phases.phase("input"):
                    per_step = self.config.train.discriminator_steps
                    taken = [next(self.batches) for _ in range(per_step)]
                metrics, anyone_stops = train_step(taken, stop)
            else:
                count = tf.constant(len(steps))
                metrics, anyone_stops = train_step.run_many(self.batches, count, stop)
        if is_multiworker(self.strategy):
            return metrics, bool(anyone_stops > 0)
        return metrics, signals.received is not None

    def _stopped(self, step: int, signals: SignalWatch) -> StoppedError:
        return StoppedError(
            signals.received or signal.SIGTERM,
            f"stopped at step {step} of {self.schedule.total_steps}; all is saved: give the same "
            "command again to go on.",
            is_multiworker(self.strategy),
        )

    def _save(self, step: int, logger: RunLogger) -> None:
        self.checkpoints.check_finite(step)
        if self.chief:
            logger.flush()
            self.checkpoints.save(step)

    def _evaluate(self, step: int, logger: RunLogger) -> None:
        """Scores the generator on the chief, and lets all workers know whether that is enough."""
        if self.monitor:
            images = self.config.evaluation.images
            logger.message(f"step {step}  Evaluating {images:,} samples ...")
            result = self.monitor.evaluate(step, self.schedule.epoch_at(step))
            logger.message(f"step {step}  {result.headline}")
            logger.keep(step, result.values)
            logger.alarm(step, "quality", result.alarms)
            if result.is_best:
                with self.phases.phase("checkpoints"):
                    self.checkpoints.save_best(step)
        self.ended_early = self._is_out_of_patience()
        if self.ended_early:
            evaluation = self.config.evaluation
            logger.message(
                f"no better {evaluation.best_by} in {evaluation.patience_evaluations} evaluations: "
                f"ended at step {step}; the best is in {self.run_dir}/{BEST}."
            )

    def _is_out_of_patience(self) -> bool:
        if not self.config.evaluation.patience_evaluations:
            return False
        own = self.monitor is not None and self.monitor.out_of_patience
        return any_worker_says(self.strategy, own)

    def _log(self, window: MetricsWindow, step: int, logger: RunLogger) -> None:
        """Tells the numbers of a window that ends here."""
        try:
            values = window.means()
        except DivergedError as error:
            raise self.checkpoints.diverged(str(error)) from error
        seconds = self.phases.take()
        speed = window.speed(self.config.images_per_step, seconds) | scalars_of(seconds)
        with self.phases.phase("logging"):
            logger.scalars(step, values | speed | self._learning_rates())
            logger.alarm(step, "losses", discriminator_alarms(values))

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
            f"{self.manifest.num_images} images of {self.manifest.source}, {replicas} "
            f"replica(s); {begins}, ends after step {self.schedule.total_steps}. Preparing ..."
        )
