"""One training at a time in a run directory."""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import posixpath
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

from trainer.cli.command import leave_at_once
from trainer.errors import StorageOutageError, UserError
from trainer.run.run_dir import LOCK
from trainer.storage import generations
from trainer.storage.bucket import is_gs
from trainer.storage.disk import naming_the_disk
from trainer.storage.files import is_running, naming_the_output

log = logging.getLogger(__name__)

_NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
# On gs:// the holder writes its lock anew every so often, and counts as gone after a silence: a
# long one, since TensorFlow holds Python's lock during its own requests to gs://.
BEAT_SECONDS = 30
SILENCE_SECONDS = 180


@contextlib.contextmanager
def locked(run_dir: str) -> Iterator[None]:
    """Keeps other trainings out of a run directory while inside; for the chief.

    Locally the kernel gives the lock back however the process ends. On gs:// it lapses after
    `SILENCE_SECONDS`, at once on the host where the process is seen to be gone. Should another
    process have taken it all the same, this one ends at once and writes no more.

    Raises:
        UserError: another process trains there, named by host, process and start; or the
            directory cannot be written.
        StorageOutageError: Google Cloud Storage does not answer.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    us = {
        "host": socket.gethostname(),
        "machine": _machine(),
        "process": os.getpid(),
        "started": started,
    }
    content = (json.dumps(us) + "\n").encode()
    if is_gs(run_dir):
        path = posixpath.join(run_dir, LOCK)
        beats = _Beats(path, content, _take_object(run_dir, path, content))
        try:
            yield
        finally:
            beats.end()
    else:
        with _locked_file(run_dir) as file:
            with naming_the_disk(os.path.join(run_dir, LOCK)):
                file.truncate(0)
                file.write(content)
            yield


@contextlib.contextmanager
def _locked_file(run_dir: str) -> Iterator[IO[bytes]]:
    path = os.path.join(run_dir, LOCK)
    with naming_the_output(run_dir, "--run_dir"):
        os.makedirs(run_dir, exist_ok=True)
        # Unbuffered: a write that failed would fail again, unnamed, as the file is closed.
        file = open(path, "a+b", buffering=0)  # noqa: SIM115
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _in_use(run_dir, file.read()) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            log.warning("%s cannot be locked (%s): start no second run there", run_dir, error)
        yield file


def _take_object(run_dir: str, path: str, content: bytes) -> str:
    """Writes the lock once no other holder is left, and returns its generation."""
    watched: generations.Version | None = None
    while True:
        found = generations.find_version(path)
        if found and watched and found.generation != watched.generation:
            raise _in_use(run_dir, found.content)
        if found and found.seconds_old < SILENCE_SECONDS and not _is_gone(found.content):
            if not watched:
                log.info(
                    "%s: %s; waits whether it is still there, up to %d s",
                    path,
                    _holder(found.content),
                    SILENCE_SECONDS - found.seconds_old,
                )
            watched = found
            time.sleep(BEAT_SECONDS / 6)
            continue
        generation = found.generation if found else generations.NONE
        if taken := generations.replace(path, content, generation):
            return taken
        watched = found or watched


class _Beats(threading.Thread):
    """Writes a lock on gs:// anew again and again, as long as nobody else has written it."""

    def __init__(self, path: str, content: bytes, generation: str) -> None:
        super().__init__(daemon=True)
        self.path, self.content, self.generation = path, content, generation
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        """Until `end`. Failures pass: the next beat may come through."""
        while not self._ended.wait(BEAT_SECONDS):
            with contextlib.suppress(UserError, StorageOutageError, OSError):
                written = generations.replace(self.path, self.content, self.generation)
                if written is None and generations.find_version(self.path) is None:  # deleted
                    written = generations.replace(self.path, self.content, generations.NONE)
                self.generation = written or self._leave()

    def end(self) -> None:
        """Gives the lock back."""
        self._ended.set()
        self.join()
        with contextlib.suppress(UserError, StorageOutageError, OSError):
            generations.remove(self.path, self.generation)

    def _leave(self) -> NoReturn:
        found = generations.find_version(self.path)
        leave_at_once(
            1,
            f"error: {self.path} is no longer held by this run, which had been silent for long: "
            f"{_holder(found.content if found else b'')}. Ended without saving.",
        )


def _is_gone(content: bytes) -> bool:
    """Whether the holder ran on this host and has ended; its number may be ours since."""
    try:
        holder = json.loads(content)
        here = holder["host"] == socket.gethostname() and holder["machine"] == _machine()
        process = int(holder["process"])
    except (ValueError, KeyError, TypeError):
        return False
    return here and (process == os.getpid() or not is_running(process))


def _machine() -> str:
    """Tells machines of one name apart, where the system has something for it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _in_use(run_dir: str, content: bytes) -> UserError:
    return UserError(
        f"{run_dir} is in use: {_holder(content)}; wait for it, stop it, or choose another "
        "--run_dir."
    )


def _holder(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return "process {process} on {host}, started {started}, trains there".format(**holder)
    except (ValueError, KeyError, TypeError):
        return "another process trains there"
