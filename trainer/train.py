"""The training loop, top to bottom."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.checkpoint import Checkpoints, claim_run_dir
from trainer.config import Config
from trainer.data.pipeline import replica_batches
from trainer.data.prepare import prepare
from trainer.data.tfrecord import Manifest, check_sizes, has_manifest, read_manifest
from trainer.errors import DivergedError, StoppedError, UserError
from trainer.gan.state import build_gan
from trainer.gan.step import AdversarialStep
from trainer.interval import Interval
from trainer.progress import Progress
from trainer.sample import Sampler
from trainer.signals import SignalWatch
from trainer.strategy import check_shares, is_chief, may_jit
from trainer.summaries import SummaryWriter, write_final_pictures


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
    manifest = _prepared_records(config)

    # ------------------------------------------------------------ State
    with strategy.scope():
        run = Run(config, strategy, manifest, run_dir)
    # Where to start: 1. the newest checkpoint that can be read; 2. the initial weights.
    start = run.checkpoints.restore() or 0
    run.take_learning_rates_from_config()
    if start >= run.total_steps:
        print(
            f"{run_dir} is finished: step {start} of {run.total_steps}. To go on, raise "
            "--config.train.epochs or --config.train.steps; to start anew, choose another "
            "--run_dir."
        )
    else:
        run.loop(start, SummaryWriter(run_dir, start) if chief else None)

    # ------------------------------------------------------------ Results
    if chief:
        pictures = write_final_pictures(run_dir)
        print(f"Grids:       {run_dir}/samples/")
        for path in pictures:
            print(f"Picture:     {path}")
        print(f"TensorBoard: tensorboard --logdir {run_dir}")
        print(f"Samples:     python -m trainer.main --mode=sample --run_dir={run_dir}")


def _prepared_records(config: Config) -> Manifest:
    """The manifest of the config's records, which are prepared first if they are not there."""
    folder, model = config.data.records_dir, config.model
    if not has_manifest(folder):
        return prepare(
            config.data.source, folder, config.data.shards, model.resolution, model.channels
        )
    manifest = read_manifest(folder)
    check_sizes(folder, manifest)
    wanted = (model.resolution, model.resolution, model.channels)
    if manifest.image_shape != wanted:
        raise UserError(
            f"{folder} holds images of {'x'.join(map(str, manifest.image_shape))} and the model "
            f"makes {'x'.join(map(str, wanted))}: choose another --config.data.records_dir, or set "
            "--config.model.resolution and --config.model.channels."
        )
    return manifest


@contextlib.contextmanager
def _naming_damaged_records(records_dir: str) -> Iterator[None]:
    """Adds to TensorFlow's error what it leaves out: where the damage is."""
    try:
        yield
    except tf.errors.DataLossError as error:
        raise UserError(
            f"a record in {records_dir} is damaged; find the file with "
            f"python -m trainer.data.prepare --verify={records_dir}."
        ) from error


class Run:
    """One run between its first and its last step; build it inside `strategy.scope()`."""

    def __init__(
        self, config: Config, strategy: tf.distribute.Strategy, manifest: Manifest, run_dir: str
    ) -> None:
        self.config = config
        self.strategy = strategy
        self.manifest = manifest
        self.gan = build_gan(config)
        self.checkpoints = Checkpoints(self.gan, run_dir, config.train.checkpoints_to_keep)
        self.sampler = Sampler(self.gan.generator)
        self.total_steps = config.train.steps or math.ceil(
            config.train.epochs * manifest.num_images / config.train.global_batch_size
        )

    def take_learning_rates_from_config(self) -> None:
        """Undoes what restoring did to them: a resumed run may change them."""
        optimizers = self.config.optimizer
        self.gan.generator_optimizer.learning_rate = optimizers.generator.learning_rate
        self.gan.discriminator_optimizer.learning_rate = optimizers.discriminator.learning_rate

    def epoch_at(self, step: int) -> float:
        """Passes over the images that the first `step` steps make."""
        return step * self.config.train.global_batch_size / self.manifest.num_images

    def loop(self, start: int, writer: SummaryWriter | None) -> None:
        """Runs steps `start` + 1 to the last; `writer` is None on all workers but the chief."""
        every = self.config.train
        jit_compile = may_jit(self.strategy, every.jit_compile)
        train_step = AdversarialStep(self.gan, self.config, self.strategy, jit_compile)
        records_dir = self.config.data.records_dir
        with _naming_damaged_records(records_dir):
            batches = self._batches(start)
        progress = Progress(self.total_steps, start, visible=writer is not None)
        progress.message(self._opening_line(start))
        if writer:
            writer.config(start, self.config.to_json())
        interval = Interval()
        with SignalWatch() as signals, contextlib.closing(progress):
            for step in range(start + 1, self.total_steps + 1):
                with interval.waiting_for_input(), _naming_damaged_records(records_dir):
                    images = next(batches)
                interval.add(step, train_step(images))
                progress.step_done(step)
                if step == start + 1:
                    values = {"speed/first_step_seconds": interval.restart_clock()}
                    self._log(step, values, progress, writer)
                stopped_by = signals.received
                saves = (
                    step == self.total_steps
                    or stopped_by is not None
                    or step % every.checkpoint_every_steps == 0
                )
                if saves or step % every.log_every_steps == 0:
                    self._log(step, self._close(interval), progress, writer)
                epoch = self._epoch_to_draw(step)
                if writer and epoch:
                    writer.fixed_noise_grid(step, epoch, self._fixed_noise_images())
                if writer and saves:
                    writer.flush()
                    self.checkpoints.save(step)
                if stopped_by is not None:
                    raise StoppedError(
                        stopped_by,
                        f"stopped by {stopped_by.name} at step {step} of {self.total_steps}; "
                        "all is saved: give the same command again to go on.",
                    )

    def _log(
        self, step: int, values: dict[str, float], progress: Progress, writer: SummaryWriter | None
    ) -> None:
        progress.report(step, self.epoch_at(step), values)
        if writer:
            writer.scalars(step, self.epoch_at(step), values)

    def _batches(self, start: int) -> Iterator[Any]:
        config = self.config

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
            return replica_batches(
                config.data.records_dir,
                self.manifest,
                seed=config.seed,
                start_step=start,
                global_batch_size=config.train.global_batch_size,
                num_replicas=context.num_replicas_in_sync,
                first_replica=context.input_pipeline_id * local_replicas,
                local_replicas=local_replicas,
                memory_budget_mib=config.data.memory_budget_mib,
                shuffle_buffer_images=config.data.shuffle_buffer_images,
            )

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    def _close(self, interval: Interval) -> dict[str, float]:
        """The interval's numbers; starts the next."""
        try:
            values = interval.means()
        except DivergedError as error:
            raise DivergedError(
                f"{error}; the last good checkpoint is {self.checkpoints.latest}: lower the "
                "learning rates and give the command again to go on from there."
            ) from error
        speed = interval.speed(self.config.train.global_batch_size)
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

    def _fixed_noise_images(self) -> np.ndarray:
        count = self.config.train.grid_images
        return np.concatenate(list(self.sampler.images(self.config.seed, count)))

    def _opening_line(self, start: int) -> str:
        replicas = self.strategy.num_replicas_in_sync
        begins = f"goes on from step {start}" if start else "starts"
        return (
            f"{self.manifest.num_images} images of {self.config.data.source}, {replicas} "
            f"replica(s); {begins} and ends at step {self.total_steps}. Compiling ..."
        )
