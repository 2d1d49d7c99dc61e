"""Checkpoints that cannot be restored: what is wrong with their files, and out of the way."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from trainer.run.run_dir import checkpoint_files
from trainer.storage.files import names_in, without_patterns

UNREADABLE = (tf.errors.OpError, AssertionError, IndexError)
"""What TensorFlow raises at a damaged checkpoint, and some of it where storage refuses."""


@contextlib.contextmanager
def opened(path: str) -> Iterator[str]:
    """The path of a checkpoint as TensorFlow can take it."""
    # An index that cannot be read to its end kills TensorFlow (SIGSEGV, 2.21): so it is read first.
    with tf.io.gfile.GFile(f"{path}.index", "rb") as file:
        file.read()
    with without_patterns(path) as readable:
        yield readable


def damage(path: str) -> str:
    """Which file of a checkpoint that cannot be restored is wrong, and what is wrong with it."""
    folder, name = os.path.split(path)
    files = checkpoint_files(folder, name)
    data = [file for file in files if not file.endswith(".index")]
    if f"{name}.index" not in files:
        return f"{path}.index is missing"
    if not data:
        return f"{path}.data-00000-of-00001 is missing"
    try:
        with opened(path) as readable:
            tf.train.load_checkpoint(readable)
    except UNREADABLE:
        return f"{path}.index is damaged: its bytes are not those that were written"
    return f"{os.path.join(folder, data[0])} is damaged: its bytes are not those that were written"


def is_whole(path: str) -> bool:
    """Whether every tensor of a checkpoint can be read; takes as long as reading all of it."""
    try:
        with opened(path) as readable:
            reader = tf.train.load_checkpoint(readable)
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
    except UNREADABLE:
        return False
    return True


def set_aside(path: str) -> str:
    """Renames the files of a checkpoint, so that no later one takes their place; the new path."""
    folder, name = os.path.split(path)
    files = names_in(folder)
    aside = f"damaged-{name}"
    while any(file.startswith(f"{aside}.") for file in files):
        aside += "-again"
    for file in checkpoint_files(folder, name):
        renamed = aside + file.removeprefix(name)
        tf.io.gfile.rename(os.path.join(folder, file), os.path.join(folder, renamed))
    return os.path.join(folder, aside)
