"""The training loop, top to bottom."""

import contextlib
import logging
import math
import signal
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.checkpoint import Checkpoints, claim_run_dir
from trainer.config import Config
from trainer.data.distributed import distributed_batches, naming_damaged_records
from trainer.data.prepare import prepared_records
from trainer.data.tfrecord import Manifest
from trainer.errors import DivergedError, StoppedError
from trainer.gan.state import build_gan
from trainer.gan.step import AdversarialStep
from trainer.interval import Interval
from trainer.progress import Progress
from trainer.sample import Sampler
from trainer.signals import SignalWatch
from trainer.strategy import (
    check_agreement,
    check_shares,
    is_chief,
    is_multiworker,
    may_jit,
    sum_dtype,
    wait_for_all_workers,
)
from trainer.summaries import SummaryWriter, write_final_pictures

log = logging.getLogger(__name__)


def train(config: Config, strategy: tf.distribute.Strategy, run_dir: str) -> None:
    """Trains to the end, going on from the run directory's newest checkpoint.

    Args:
        config: a validated config.
        strategy: where the step runs.
        run_dir: the run directory; only the chief writes there.

    Raises:
        UserError: bad input, or the run directory of another run.
        DivergedError: a loss or a weight is not finite.
        StoppedError: SIGTERM or Ctrl-C; the state was saved first.
    """
    # ------------------------------------------------------------ What can be checked at once
    check_shares(config, strategy)
    chief = is_chief(strategy)
    if chief:
        claim_run_dir(run_dir, config)

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
    if start >= run.total_steps and chief:
        print(
            f"{run_dir} is finished: step {start} of {run.total_steps}. To go on, raise "
            "--config.train.epochs or --config.train.steps; to start anew, choose another "
            "--run_dir."
        )

    # ------------------------------------------------------------ Loop
    while start < run.total_steps:
        try:
            start = run.loop(start)
        except DivergedError as error:
            start = run.roll_back(error)

    # ------------------------------------------------------------ Results
    if chief:
        pictures = write_final_pictures(run_dir)
        print(f"Grids:       {run_dir}/samples/")
        for path in pictures:
            print(f"Picture:     {path}")
        print(f"TensorBoard: tensorboard --logdir {run_dir}")
        print(f"Samples:     python -m trainer.main --mode=sample --run_dir={run_dir}")


class Run:
    """One run between its first and its last step; build it inside `strategy.scope()`."""

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
        self.total_steps = config.train.steps or math.ceil(
            config.train.epochs * manifest.num_images / config.images_per_step
        )

    def epoch_at(self, step: int) -> float:
        """Passes over the images that the first `step` steps make."""
        return step * self.config.images_per_step / self.manifest.num_images

    def loop(self, start: int) -> int:
        """Runs steps `start` + 1 to the last, and returns the last."""
        train_step = AdversarialStep(
            self.gan,
            self.config,
            self.strategy,
            may_jit(self.strategy, self.config.train.jit_compile),
            sum_dtype(self.strategy),
        )
        first_batch = start + int(self.gan.batches_skipped.numpy())
        batches = distributed_batches(
            self.config,
            self.strategy,
            self.manifest,
            first_batch * self.config.train.discriminator_steps,
        )
        writer = SummaryWriter(self.run_dir, start) if self.chief else None
        progress = Progress(self.total_steps, start, visible=self.chief)
        progress.message(self._opening_line(start))
        if writer:
            writer.config(start, self.config.to_json())
        interval, step = Interval(), start
        closing_writer = contextlib.closing(writer) if writer else contextlib.nullcontext()
        with SignalWatch() as signals, contextlib.closing(progress), closing_writer:
            while step < self.total_steps:
                steps = range(step + 1, self._end_of_call(step) + 1)
                stopping = self._call(train_step, batches, steps, interval, signals)
                step = steps[-1]
                progress.steps_done(step)
                if steps[0] == start + 1:
                    values = {"speed/first_step_seconds": interval.restart_clock()}
                    self._log(step, values, progress, writer)

                saves = stopping or self._is_due(step, self.config.train.checkpoint_every_steps)
                if saves or self._is_due(step, self.config.train.log_every_steps):
                    self._log(step, self._close(interval), progress, writer)
                epoch = self._epoch_to_draw(step)
                if writer and epoch:
                    writer.fixed_noise_grid(step, epoch, *self._fixed_noise_images())
                if saves:
                    self._save(step, writer)
                if stopping or step == self.total_steps:
                    # A worker that leaves while the chief still writes would take it along.
                    wait_for_all_workers(self.strategy)
                if stopping:
                    raise StoppedError(
                        signals.received or signal.SIGTERM,
                        f"stopped at step {step} of {self.total_steps}; all is saved: give the "
                        "same command again to go on.",
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
        interval: Interval,
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

    def _end_of_call(self, step: int) -> int:
        """The step at which Python is needed again."""
        every, images = self.config.train, self.manifest.num_images
        epoch_end = math.ceil((int(self.epoch_at(step)) + 1) * images / self.config.images_per_step)
        periods = (every.log_every_steps, every.checkpoint_every_steps)
        return min(
            step + every.steps_per_call,
            epoch_end,
            self.total_steps,
            *((step // period + 1) * period for period in periods),
        )

    def _is_due(self, step: int, every_steps: int) -> bool:
        return step % every_steps == 0 or step == self.total_steps

    def _save(self, step: int, writer: SummaryWriter | None) -> None:
        self.checkpoints.check_finite(step)
        if writer:
            writer.flush()
            self.checkpoints.save(step)

    def _log(
        self, step: int, values: dict[str, float], progress: Progress, writer: SummaryWriter | None
    ) -> None:
        progress.report(step, self.epoch_at(step), values)
        if writer:
            writer.scalars(step, self.epoch_at(step), values)

    def _close(self, interval: Interval) -> dict[str, float]:
        """The interval's numbers; starts the next."""
        try:
            values = interval.means()
        except DivergedError as error:
            raise self.checkpoints.diverged(str(error)) from error
        speed = interval.speed(self.config.images_per_step)
        interval.restart()
        return values | speed | self._learning_rates()

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

    def _epoch_to_draw(self, step: int) -> int | None:
        """The epoch, from 1, whose grid is due: one that ends here, or the run's last."""
        before, after = (int(self.epoch_at(s)) for s in (step - 1, step))
        if after > before:
            due = after % self.config.train.grid_every_epochs == 0 or step == self.total_steps
            return after if due else None
        return after + 1 if step == self.total_steps else None

    def _fixed_noise_images(self) -> tuple[np.ndarray, np.ndarray | None]:
        count = self.config.train.grid_images
        images = np.concatenate(list(self.sampler.images(self.config.seed, count)))
        return images, self.sampler.labels(count)

    def _opening_line(self, start: int) -> str:
        replicas = self.strategy.num_replicas_in_sync
        begins = f"goes on from step {start}" if start else "starts"
        return (
            f"{self.manifest.num_images} images of {self.config.data.source}, {replicas} "
            f"replica(s); {begins} and ends at step {self.total_steps}. Compiling ..."
        )
