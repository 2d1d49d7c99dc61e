"""Checkpoints of a run: saved, found again, restored."""

import logging
import os

import tensorflow as tf

from trainer.errors import DivergedError, UserError
from trainer.gan.build import build_generator
from trainer.gan.networks import Generator
from trainer.gan.state import Gan, sampled_generator_checkpoint
from trainer.run.run_dir import BEST, CHECKPOINTS, latest_checkpoint, read_config
from trainer.storage.bucket_errors import is_at_fault

log = logging.getLogger(__name__)


def find_checkpoint(run_dir: str, name: str = "") -> str:
    """Path of a checkpoint of a run: `best`, `step-500`, or empty for the newest.

    Raises:
        UserError: there is no such checkpoint; names those that there are.
    """
    if name == BEST:
        found = tf.train.latest_checkpoint(os.path.join(run_dir, BEST))
    elif name:
        found = os.path.join(run_dir, CHECKPOINTS, name)
        found = found if tf.io.gfile.exists(f"{found}.index") else None
    else:
        found = latest_checkpoint(run_dir)
    if found is None and latest_checkpoint(run_dir) is None:
        raise UserError(f"{run_dir} has no checkpoint yet; train it first, with --mode=train.")
    if found is None:
        paths = tf.io.gfile.glob(os.path.join(run_dir, CHECKPOINTS, "*.index"))
        names = sorted(os.path.basename(path).removesuffix(".index") for path in paths)
        raise UserError(
            f"--checkpoint={name}: {run_dir} has no such checkpoint, but {', '.join(names)}; best "
            "is there once --config.evaluation.every_epochs is set."
        )
    return found


def load_generator(run_dir: str, name: str = "") -> Generator:
    """The generator of a checkpoint that `find_checkpoint` finds: its average if there is one.

    Raises:
        UserError: the directory holds no run, or not this checkpoint.
    """
    config = read_config(run_dir)
    generator = build_generator(config)
    path = find_checkpoint(run_dir, name)
    restored = sampled_generator_checkpoint(config, generator).restore(path)
    restored.assert_existing_objects_matched().expect_partial()
    return generator


class Checkpoints:
    """The last few checkpoints of one run, named by their step."""

    def __init__(self, gan: Gan, run_dir: str, keep: int = 1) -> None:
        self.gan = gan
        self.run_dir = run_dir
        self.checkpoint = gan.checkpoint()
        self.manager = tf.train.CheckpointManager(
            self.checkpoint,
            os.path.join(run_dir, CHECKPOINTS),
            max_to_keep=keep,
            checkpoint_name="step",
        )
        self.best_manager = tf.train.CheckpointManager(
            self.checkpoint, os.path.join(run_dir, BEST), max_to_keep=1, checkpoint_name="step"
        )

    def restore(self) -> int | None:
        """Restores the newest checkpoint that can be read.

        Returns:
            Its step, or None where there is no checkpoint.

        Raises:
            UserError: there are checkpoints, and all are damaged, or their list is.
        """
        # Asked of the folder, not of the manager, which knows only what this worker saved.
        folder = os.path.join(self.run_dir, CHECKPOINTS)
        found, listed = tf.train.get_checkpoint_state(folder), os.path.join(folder, "checkpoint")
        if found is None and tf.io.gfile.exists(listed):
            # TensorFlow only logs that, and the run would start anew over its own results.
            raise UserError(
                f"{listed}, the list of this run's checkpoints, cannot be read: try again, or "
                "delete the folder to start anew."
            )
        paths = list(found.all_model_checkpoint_paths) if found else []
        for path in reversed(paths):
            try:
                self.checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, AssertionError, IndexError) as error:
                if is_at_fault(error):
                    raise
                log.warning("%s cannot be read: %s", path, str(error).splitlines()[0])
                continue
            return int(self.gan.step.numpy())
        if paths:
            raise UserError(
                f"none of the checkpoints of this run can be read, {paths[-1]} the newest; "
                "delete the folder to start anew."
            )
        return None

    def save_best(self, step: int) -> None:
        """Saves the state apart from the last ones, in place of the best so far."""
        self.best_manager.save(checkpoint_number=step)

    def check_finite(self, step: int) -> None:
        """Checks what is about to be saved.

        Raises:
            DivergedError: a weight is not finite; names it and the last good checkpoint.
        """
        for model in (self.gan.generator, self.gan.discriminator):
            for variable in model.variables:
                if not tf.reduce_all(tf.math.is_finite(variable.value)):
                    raise self.diverged(f"{variable.path} is not finite at step {step}")

    def diverged(self, finding: str) -> DivergedError:
        """The error for a finding such as "x is nan at step 3", with the way on."""
        return DivergedError(
            f"{finding}; the last good checkpoint is {latest_checkpoint(self.run_dir)}: lower the "
            "learning rates and give the command again to go on from there."
        )

    def save(self, step: int) -> str:
        """Saves the state and deletes the oldest checkpoint beyond those kept."""
        return self.manager.save(checkpoint_number=step)
