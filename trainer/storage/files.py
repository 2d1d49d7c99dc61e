"""Writing files that are either whole or not there, locally and on gs://."""

import contextlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from trainer.storage.bucket import is_gs


def temporary_name(path: str) -> str:
    """A name beside `path` that no other process uses."""
    # The host too: in containers every worker may well be process 1.
    return f"{path}.tmp-{socket.gethostname()}-{os.getpid()}"


def abandoned(name: str) -> str | None:
    """The name that a temporary one stands for, if the process that made it is gone."""
    found = re.fullmatch(r"(.+)\.tmp-(.+)-(\d+)", name)
    if not found or (found[2] == socket.gethostname() and is_running(int(found[3]))):
        return None
    return found[1]


def is_running(pid: int) -> bool:
    """Whether this host has a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def names_in(folder: str) -> list[str]:
    """What lies in a folder, sorted; nothing where there is none. No path is taken as a pattern."""
    try:
        return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
    except tf.errors.NotFoundError:
        return []


@contextlib.contextmanager
def without_patterns(path: str) -> Iterator[str]:
    """Another path of the same local file, for TensorFlow's C++, which takes `[`, `*` and `?` in
    the name of a checkpoint as a pattern (2.21)."""
    if is_gs(path) or not re.search(r"[][*?{}\\]", path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, "folder")
        os.symlink(os.path.abspath(os.path.dirname(path)), link)
        yield os.path.join(link, os.path.basename(path))


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
    # A name in the text may come from a file name that is no UTF-8.
    write_bytes(path, text.encode(errors="backslashreplace"))
