"""Writing files that are either whole or not there, locally and on gs://."""

import contextlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from trainer.errors import UserError
from trainer.storage.bucket import SAVED_MODEL, is_gs, saved_model_files
from trainer.storage.bucket_errors import reason
from trainer.storage.disk import naming_the_disk

# Names with it are removed in a run directory: nothing that a person may have typed.
_TEMPORARY = ".tmp-dcgan-"


def temporary_name(path: str) -> str:
    """A name beside `path` that no other process uses."""
    # The host too: in containers every worker may well be process 1.
    return f"{path}{_TEMPORARY}{socket.gethostname()}-{os.getpid()}"


def abandoned(name: str) -> str | None:
    """The name that a temporary one stands for, if the process that made it is gone.

    Whether a process of another host lives, nobody knows here: its files count as in use.
    """
    ours = re.escape(f"{_TEMPORARY}{socket.gethostname()}")
    found = re.fullmatch(rf"(.+){ours}-(\d+)", name, re.ASCII)
    return found[1] if found and not is_running(int(found[2])) else None


def remove_abandoned(path: str) -> None:
    """Removes what processes that are gone had begun to write in place of a local path."""
    folder, own = os.path.split(os.path.abspath(path))
    for name in names_in(folder):
        if abandoned(name) == own:
            remove(os.path.join(folder, name))


def remove(path: str) -> None:
    """Removes a file, or a folder with all that is in it."""
    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    else:
        tf.io.gfile.remove(path)


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


def check_no_folder(output: str, example: str) -> None:
    """Raises UserError where a file is asked for by the name of a folder."""
    if output.endswith("/") or tf.io.gfile.isdir(output):
        raise UserError(f"--output={output} is a folder: give the name of a file, {example}.")


@contextlib.contextmanager
def naming_the_output(path: str, flag: str = "") -> Iterator[None]:
    """Names what a user chose to write to, where that cannot be, and the flag such as `--output`.

    Raises:
        UserError: it is no place for a file; on gs://, what TensorFlow says of it.
        DiskError: the disk refuses.
    """
    try:
        with naming_the_disk(path):
            yield
    except (tf.errors.OpError, OSError) as error:
        given = f"{flag}={path}" if flag else path
        raise UserError(f"{given} cannot be written ({reason(error)}); choose another.") from error


@contextlib.contextmanager
def replacing(path: str, needed_bytes: int = 0) -> Iterator[str]:
    """The temporary name of a local file, which takes the place of `path` once it is written.

    Raises:
        DiskError: the disk refuses; nothing is left of the attempt.
        tf.errors.OpError: other failures of the renaming.
    """
    temporary = temporary_name(path)
    try:
        with naming_the_disk(path, needed_bytes):
            yield temporary
            tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file under a temporary name and renames it; on gs://, in one upload.

    Raises:
        DiskError: the disk refuses; nothing is left of the attempt.
        tf.errors.OpError: other failures.
    """
    if is_gs(path):
        # An object appears whole or not at all, and to rename it is to copy it.
        _write(path, content)
        return
    with replacing(path, len(content)) as temporary:
        _write(temporary, content)


def move_saved_model(made: str, folder: str) -> None:
    """Moves a SavedModel on a local disk; a reader of the folder sees all of it or none.

    As `bucket.upload_saved_model`: what readers look for first goes first and comes last.
    """
    Path(folder, SAVED_MODEL).unlink(missing_ok=True)
    for path in saved_model_files(made):
        if path.parent.name == "variables_temp":  # what TensorFlow could not remove
            continue
        target = Path(folder, path.relative_to(made))
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _write(path: str, content: bytes) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file under a temporary name and renames it."""
    # A name in the text may come from a file name that is no UTF-8.
    write_bytes(path, text.encode(errors="backslashreplace"))
