"""Checkpoints of a run: saved, found again, restored."""

import contextlib
import logging
import os
from collections.abc import Iterator

import tensorflow as tf

from trainer.errors import DiskError, DivergedError, UserError
from trainer.gan.build import build_generator
from trainer.gan.networks import Generator
from trainer.gan.state import Gan, sampled_generator_checkpoint
from trainer.run import pretrained
from trainer.run.compiler import as_trained
from trainer.run.damaged_checkpoints import UNREADABLE, damage, is_whole, opened, set_aside
from trainer.run.environment import Environment
from trainer.run.run_dir import (
    BEST,
    CHECKPOINT_LIST,
    CHECKPOINTS,
    checkpoint_files,
    checkpoints_in,
    found_checkpoints,
    latest_checkpoint,
    newest_in,
    write_environment,
)
from trainer.storage.disk import naming_the_writing, storage_refused
from trainer.storage.files import names_in, remove, write_text

log = logging.getLogger(__name__)


def find_checkpoint(run_dir: str, name: str = "") -> str:
    """Path of a checkpoint of a run: `best`, `step-500`, or empty for the newest.

    Raises:
        UserError: there is no such checkpoint; names those that there are.
    """
    if os.sep in name:
        raise UserError(
            f"--checkpoint={name} is a path: give a name, such as step-500, of a checkpoint of "
            f"{run_dir}, or another --run_dir."
        )
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
        when = "; best is there once --config.evaluation.every_epochs is set" * (name == BEST)
        raise UserError(
            f"--checkpoint={name}: {run_dir} has no such checkpoint, but "
            f"{', '.join(_names(run_dir))}{when}."
        )
    return found


def load_generator(run_dir: str, name: str = "") -> Generator:
    """The generator of a checkpoint that `find_checkpoint` finds: its average if there is one.

    Of the folder of a pretrained generator, that one.

    Raises:
        UserError: the directory holds no run, or not this checkpoint, or it is damaged or
            of another model.
    """
    config = as_trained(run_dir)
    generator = build_generator(config)
    if pretrained.has_weights(run_dir):
        pretrained.load_weights(generator, run_dir)
        return generator
    path = find_checkpoint(run_dir, name)
    try:
        with _refusing_other_models(path), opened(path) as readable:
            restored = sampled_generator_checkpoint(config, generator).restore(readable)
            # First, or TensorFlow would list what it did not need where the next line refuses.
            restored.expect_partial().assert_existing_objects_matched()
    except UNREADABLE as error:
        if storage_refused(error):
            raise
        if path not in checkpoints_in(os.path.dirname(path)):
            # A run that trains on has deleted it meanwhile, and has a newer one.
            return load_generator(run_dir, name)
        others = " or ".join(_names(run_dir, but=path))
        mend = f"give --checkpoint={others} instead" if others else "train on to write another"
        raise UserError(f"{damage(path)}; {mend}.") from error
    return generator


@contextlib.contextmanager
def _refusing_other_models(path: str) -> Iterator[None]:
    """Turns TensorFlow's words on a whole checkpoint of another model into ours; others pass.

    Raises:
        UserError: tensors of other shapes, or variables of other names.
    """
    try:
        yield
    except (ValueError, AssertionError) as error:
        difference = "its variables have other names"
        if isinstance(error, ValueError):
            difference = str(error).splitlines()[0].rstrip(".")
        elif not is_whole(path):
            raise  # damage can hide names, too
        raise UserError(
            f"{path} is of another model ({difference}): put back the checkpoints that belong to "
            "the run's config.json, or choose another --run_dir."
        ) from error


def _names(run_dir: str, but: str = "") -> list[str]:
    """The checkpoints of a run that `--checkpoint` takes, all but one, newest last."""
    paths = checkpoints_in(os.path.join(run_dir, CHECKPOINTS))
    names = [os.path.basename(path) for path in paths if path != but]
    best = newest_in(os.path.join(run_dir, BEST))
    return names if best in (None, but) else [*names, BEST]


class Checkpoints:
    """The last few checkpoints of one run, named by their step."""

    def __init__(
        self,
        gan: Gan,
        run_dir: str,
        keep: int = 1,
        chief: bool = True,
        machine: Environment | None = None,
    ) -> None:
        """Of several workers, only the `chief` changes files; `machine` computes what it saves."""
        self.gan = gan
        self.machine = machine
        self.chief = chief
        self.run_dir = run_dir
        self.checkpoint = gan.checkpoint()
        self.keep = keep

    def restore(self) -> int | None:
        """Restores the newest checkpoint that can be read, and sets damaged ones aside.

        Returns:
            Its step, or None where there is no checkpoint.

        Raises:
            UserError: there are checkpoints, and all are damaged, or one is of another model.
        """
        paths, finding = found_checkpoints(os.path.join(self.run_dir, CHECKPOINTS))
        if finding and self.chief:
            log.warning(finding)
        for number, path in reversed(list(enumerate(paths))):
            try:
                with _refusing_other_models(path), opened(path) as readable:
                    self.checkpoint.restore(readable).assert_consumed()
            except UNREADABLE as error:
                if storage_refused(error):
                    raise
                continue
            if self.chief:
                self._set_aside(paths[number + 1 :], paths[: number + 1])
            return int(self.gan.step.numpy())
        if paths:
            raise UserError(
                f"none of the checkpoints of this run can be read: {damage(paths[-1])}; copy them "
                "back from elsewhere, or delete the folder to start anew."
            )
        return None

    def _set_aside(self, damaged: list[str], kept: list[str]) -> None:
        if not damaged:
            return
        found = [(damage(path), set_aside(path)) for path in damaged]
        self._write_list(os.path.dirname(kept[-1]), [os.path.basename(path) for path in kept])
        for finding, aside in found:
            from_here = os.path.basename(kept[-1])
            log.warning(
                "%s. It is kept as %s, and training goes on from %s", finding, aside, from_here
            )

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
        before = map(os.path.basename, checkpoints_in(folder))
        newest = f"step-{step}"
        # Without it, `restore` would miss it.
        self.checkpoint.save_counter.assign_add(1)
        names = [*(each for each in before if each != newest), newest]
        earlier = checkpoint_files(folder, newest)
        try:
            with naming_the_writing(folder, self.gan.saved_bytes):
                self.checkpoint.write(os.path.join(folder, newest))
            if self.machine:
                write_environment(self.run_dir, self.machine)
                self.machine = None
            # The list first: it never names what is gone.
            self._write_list(folder, names[-keep:])
        except DiskError:
            half = {*checkpoint_files(folder, newest), f"{newest}_temp"} - {*earlier}
            for file in half.intersection(names_in(folder)):
                remove(os.path.join(folder, file))
            raise
        for old in names[:-keep]:
            for file in checkpoint_files(folder, old):
                tf.io.gfile.remove(os.path.join(folder, file))

    def _write_list(self, folder: str, names: list[str]) -> None:
        lines = [f'model_checkpoint_path: "{names[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{each}"' for each in names]
        write_text(os.path.join(folder, CHECKPOINT_LIST), "\n".join(lines) + "\n")
