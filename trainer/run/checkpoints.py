"""Checkpoints of a run: saved, found again, restored."""

import logging
import os

import tensorflow as tf

from trainer.errors import DivergedError, UserError
from trainer.gan.build import build_generator
from trainer.gan.networks import Generator
from trainer.gan.state import Gan, sampled_generator_checkpoint
from trainer.run.run_dir import (
    BEST,
    CHECKPOINTS,
    latest_checkpoint,
    listed,
    newest_in,
    read_config,
)
from trainer.storage.bucket_errors import is_at_fault
from trainer.storage.files import names_in, without_patterns, write_text

_LIST = "checkpoint"  # where TensorFlow too looks for a folder's checkpoints

log = logging.getLogger(__name__)


def find_checkpoint(run_dir: str, name: str = "") -> str:
    """Path of a checkpoint of a run: `best`, `step-500`, or empty for the newest.

    Raises:
        UserError: there is no such checkpoint; names those that there are.
    """
    if name == BEST:
        found = newest_in(os.path.join(run_dir, BEST))
    elif name:
        found = os.path.join(run_dir, CHECKPOINTS, name)
        found = found if tf.io.gfile.exists(f"{found}.index") else None
    else:
        found = latest_checkpoint(run_dir)
    if found is None and latest_checkpoint(run_dir) is None:
        raise UserError(f"{run_dir} has no checkpoint yet; train it first, with --mode=train.")
    if found is None:
        files = names_in(os.path.join(run_dir, CHECKPOINTS))
        names = [file.removesuffix(".index") for file in files if file.endswith(".index")]
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
    with without_patterns(path) as readable:
        restored = sampled_generator_checkpoint(config, generator).restore(readable)
        restored.assert_existing_objects_matched().expect_partial()
    return generator


class Checkpoints:
    """The last few checkpoints of one run, named by their step."""

    def __init__(self, gan: Gan, run_dir: str, keep: int = 1) -> None:
        self.gan = gan
        self.run_dir = run_dir
        self.checkpoint = gan.checkpoint()
        self.keep = keep

    def restore(self) -> int | None:
        """Restores the newest checkpoint that can be read.

        Returns:
            Its step, or None where there is no checkpoint.

        Raises:
            UserError: there are checkpoints, and all are damaged, or their list is.
        """
        folder = os.path.join(self.run_dir, CHECKPOINTS)
        found, list_file = tf.train.get_checkpoint_state(folder), os.path.join(folder, _LIST)
        if found is None and tf.io.gfile.exists(list_file):
            # TensorFlow only logs that, and the run would start anew over its own results.
            raise UserError(
                f"{list_file}, the list of this run's checkpoints, cannot be read: try again, or "
                "delete the folder to start anew."
            )
        paths = listed(found)
        for path in reversed(paths):
            try:
                with without_patterns(path) as readable:
                    self.checkpoint.restore(readable).assert_consumed()
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
        self._save_in(BEST, step, keep=1)

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
        last = latest_checkpoint(self.run_dir)
        good = (
            f"the last good checkpoint is {last}"
            if last
            else "there is no last good checkpoint yet"
        )
        again = "to go on from there" if last else "to start anew"
        return DivergedError(
            f"{finding}; {good}: lower the learning rates and give the command again {again}."
        )

    def save(self, step: int) -> None:
        """Saves the state and deletes the oldest checkpoint beyond those kept."""
        self._save_in(CHECKPOINTS, step, self.keep)

    def _save_in(self, name: str, step: int, keep: int) -> None:
        # Not by a CheckpointManager, which takes the folder's name as a pattern.
        folder = os.path.join(self.run_dir, name)
        before = map(os.path.basename, listed(tf.train.get_checkpoint_state(folder)))
        newest = f"step-{step}"
        # Without it, `restore` would miss it.
        self.checkpoint.save_counter.assign_add(1)
        self.checkpoint.write(os.path.join(folder, newest))
        names = [*(each for each in before if each != newest), newest]
        lines = [f'model_checkpoint_path: "{newest}"']
        lines += [f'all_model_checkpoint_paths: "{each}"' for each in names[-keep:]]
        # The list first: it never names what is gone.
        write_text(os.path.join(folder, _LIST), "\n".join(lines) + "\n")
        dropped = tuple(f"{each}." for each in names[:-keep])
        for file in names_in(folder):
            if file.startswith(dropped):
                tf.io.gfile.remove(os.path.join(folder, file))
