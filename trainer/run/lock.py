"""One training at a time in a run directory."""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator

from trainer.errors import UserError
from trainer.run.run_dir import LOCK
from trainer.storage.bucket import is_gs

log = logging.getLogger(__name__)

_NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def locked(run_dir: str) -> Iterator[None]:
    """Keeps other trainings out of a local run directory while inside; for the chief.

    The kernel gives the lock back however the process ends. On gs:// there is none.

    Raises:
        UserError: another process trains there, named by host, process and start; or the
            directory cannot be written.
    """
    if is_gs(run_dir):
        yield
        return
    path = os.path.join(run_dir, LOCK)
    try:
        os.makedirs(run_dir, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise UserError(
            f"--run_dir={run_dir} cannot be written ({error}); choose another."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{run_dir} is in use: {_holder(path)}") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            log.warning("%s cannot be locked (%s): start no second run there", run_dir, error)
        file.truncate(0)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder = {"host": socket.gethostname(), "process": os.getpid(), "started": started}
        file.write(json.dumps(holder) + "\n")
        file.flush()
        yield


def _holder(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            holder = json.load(file)
        who = "process {process} on {host}, started {started}, trains there".format(**holder)
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process trains there"
    return f"{who}; wait for it, stop it, or choose another --run_dir."
