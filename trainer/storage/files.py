"""Writing files that are either whole or not there, locally and on gs://."""

import os
import socket

import tensorflow as tf

from trainer.storage.bucket import is_gs


def temporary_name(path: str) -> str:
    """A name beside `path` that no other process uses."""
    # The host too: in containers every worker may well be process 1.
    return f"{path}.tmp-{socket.gethostname()}-{os.getpid()}"


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file under a temporary name and renames it; on gs://, in one upload."""
    # An object appears whole or not at all, and to rename it is to copy it.
    temporary = path if is_gs(path) else temporary_name(path)
    with tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(content)
    if temporary != path:
        tf.io.gfile.rename(temporary, path, overwrite=True)


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file under a temporary name and renames it."""
    write_bytes(path, text.encode())
