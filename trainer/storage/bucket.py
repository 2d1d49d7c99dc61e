"""Google Cloud Storage where TensorFlow's own gs:// streams are not enough.

TensorFlow reads and writes checkpoints, events and records itself and tries each request again
for minutes. What is here goes through gcsfs, which is imported by the first call that needs it:
a run on local paths never does.
"""

import functools
import logging
import os
import posixpath
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import tenacity

from trainer.errors import UserError
from trainer.storage.bucket_errors import is_transient, naming_the_bucket, reason

if TYPE_CHECKING:
    from gcsfs import GCSFileSystem

log = logging.getLogger(__name__)

SAVED_MODEL = "saved_model.pb"
"""What a SavedModel's readers look for first."""


def is_gs(path: str) -> bool:
    """Whether a path is in a bucket."""
    return path.startswith("gs://")


@functools.cache
def filesystem() -> "GCSFileSystem":
    """The client, which finds credentials as all of Google's own do.

    With STORAGE_EMULATOR_HOST it speaks to that server, and without credentials.
    """
    # Or it asks for every bucket's layout, which needs a permission of its own.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    import gcsfs

    # It prints a traceback of every request that fails; our sentences say what to do.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    token = "anon" if os.environ.get("STORAGE_EMULATOR_HOST") else "google_default"
    return gcsfs.GCSFileSystem(token=token, use_listings_cache=False)


def check_writable(folder: str) -> None:
    """Writes, reads and deletes a small object of a gs:// folder, before hours of work go nowhere.

    Raises:
        UserError: names the bucket, which of the three failed, why, and the mend.
        StorageOutageError: Google Cloud Storage does not answer.
    """
    # Workers may do this at once. What a kill leaves behind goes with other temporary files.
    probe = posixpath.join(folder, f"write-test.tmp-{uuid.uuid4().hex}")
    content = b"can this be read back?"
    with naming_the_bucket(folder, "written to"):
        filesystem().pipe_file(probe, content)
    with naming_the_bucket(folder, "read"):
        found = filesystem().cat_file(probe)
    if found != content:
        raise UserError(f"{probe} was written and then read as {found!r}: choose another bucket.")
    with naming_the_bucket(folder, "cleared of what was written"):
        filesystem().rm_file(probe)


def file_sizes(folder: str) -> dict[str, int]:
    """The bytes of every object of a gs:// folder, by its name there; one request for many.

    Raises:
        UserError, StorageOutageError: as `check_writable`.
    """
    with naming_the_bucket(folder, "listed"):
        found = filesystem().find(folder, maxdepth=1, detail=True)
    return {posixpath.basename(path): entry["size"] for path, entry in found.items()}


def fetch(path: str, local: str, check: Callable[[str], None]) -> None:
    """Copies an object to a local file, again where `check` raises DamagedError.

    Raises:
        UserError, StorageOutageError: as `check_writable`.
        DamagedError: several copies were all damaged.
    """

    def copy() -> None:
        filesystem().get_file(path, local)
        check(local)

    with naming_the_bucket(path, "read"):
        _retried(path, copy)


def saved_model_files(folder: str) -> list[Path]:
    """The files of a local SavedModel, the one that readers look for first the last of them."""
    head = Path(folder, SAVED_MODEL)
    return [*(path for path in Path(folder).rglob("*") if path.is_file() and path != head), head]


def upload_saved_model(local: str, folder: str) -> None:
    """Copies a SavedModel to gs://; a reader there sees all of it or none.

    The file that readers look for first is removed before anything else and written last.

    Raises:
        UserError, StorageOutageError: as `check_writable`.
    """
    with naming_the_bucket(folder, "written to"):
        old_head = posixpath.join(folder, SAVED_MODEL)
        if filesystem().exists(old_head):
            filesystem().rm_file(old_head)
        for path in saved_model_files(local):
            target = posixpath.join(folder, path.relative_to(local).as_posix())
            _retried(target, functools.partial(filesystem().put_file, str(path), target))


def _retried(path: str, attempt: Callable[[], None]) -> None:
    """Calls `attempt` up to five times while its errors may pass; logs the first of them only."""

    def log_first(state: tenacity.RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome:
            log.warning("%s: %s; tries again for a while", path, reason(state.outcome.exception()))

    # 1, 2, 4 and 8 seconds, half of it at random: workers that failed together do not come back
    # together.
    wait = tenacity.wait_exponential(0.5) + tenacity.wait_random_exponential(0.5)
    tenacity.Retrying(
        stop=tenacity.stop_after_attempt(5),
        wait=wait,
        retry=tenacity.retry_if_exception(is_transient),
        before_sleep=log_first,
        reraise=True,
    )(attempt)
