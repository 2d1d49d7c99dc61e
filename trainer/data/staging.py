"""Shards of gs:// records on the local disk, fetched once for all runs and processes of a machine.

The folder TRAINER_CACHE_DIR, by default ~/.cache/dcgan-trainer, has a folder for each record set,
named by the hash of its manifest, with the shards and two files that processes lock:

    in_use    shared by all that read the set, exclusive to remove it; its time is the last use
    fetching  exclusive, while shards are checked and fetched

The kernel lets go of the locks of a process that ends, however it ends. When a new set would make
the cache larger than TRAINER_CACHE_GIB, by default 100, the sets that nobody reads are removed,
the least recently used first.
"""

import contextlib
import fcntl
import functools
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import tensorflow as tf

from trainer.cli.paths import user_path
from trainer.data.tfrecord import Manifest, Shard, sha256_of
from trainer.errors import UserError
from trainer.storage.bucket import fetch, is_gs
from trainer.storage.bucket_errors import DamagedError
from trainer.storage.files import remove_abandoned, temporary_name

log = logging.getLogger(__name__)

_GIB = 2**30
_LOCK = "lock"
_IN_USE = "in_use"
_FETCHING = "fetching"

_kept_open: list[IO[bytes]] = []
"""Closing them would give up their locks."""


def shard_paths(records_dir: str, manifest: Manifest) -> list[str]:
    """Where to read the shards: in the folder itself or, of a gs:// folder, from the local cache.

    A set that is larger than the whole cache is read from gs:// directly.

    Raises:
        UserError: a shard cannot be fetched or is damaged, or the cache cannot be written.
        StorageOutageError: Google Cloud Storage does not answer.
    """
    folder = _staged(records_dir, manifest) if is_gs(records_dir) else None
    return [tf.io.gfile.join(folder or records_dir, shard.file) for shard in manifest.shards]


@functools.cache
def _staged(records_dir: str, manifest: Manifest) -> str | None:
    cache, limit = Path(_cache_dir()), int(_gib_at_most() * _GIB)
    size = sum(shard.bytes for shard in manifest.shards)
    if size > limit:
        log.warning(
            "%s has %.1f GiB, more than TRAINER_CACHE_GIB=%g: it is read over the network",
            *(records_dir, size / _GIB, limit / _GIB),
        )
        return None
    folder = cache / hashlib.sha256(manifest.to_json().encode()).hexdigest()[:16]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _claim(folder, size, limit)
        with _locked(folder / _FETCHING):
            for shard in manifest.shards:
                _stage(tf.io.gfile.join(records_dir, shard.file), folder, shard)
    except OSError as error:
        raise UserError(
            f"{records_dir} cannot be copied to {folder} ({error}): set TRAINER_CACHE_DIR to a "
            "folder with room, or TRAINER_CACHE_GIB to what may be used."
        ) from error
    return str(folder)


def _cache_dir() -> str:
    given = os.environ.get("TRAINER_CACHE_DIR", "~/.cache/dcgan-trainer")
    try:
        return user_path(given)
    except UserError as error:
        raise UserError(
            f"records of gs:// are kept in {given!r}: {error} The environment variable "
            "TRAINER_CACHE_DIR names another folder."
        ) from None


def _gib_at_most() -> float:
    given = os.environ.get("TRAINER_CACHE_GIB", "100")
    try:
        return float(given)
    except ValueError:
        raise UserError(
            f"the environment variable TRAINER_CACHE_GIB is {given!r}: give a number, such as 50."
        ) from None


def _claim(folder: Path, size: int, limit: int) -> None:
    """Makes room for a set and keeps it from being removed while this process lives."""
    with _locked(folder.parent / _LOCK):
        folder.mkdir(exist_ok=True)  # another process may just have removed it
        file = (folder / _IN_USE).open("ab")
        fcntl.flock(file, fcntl.LOCK_SH)
        _kept_open.append(file)
        os.utime(folder / _IN_USE)
        _evict(folder, size, limit)


def _evict(folder: Path, size: int, limit: int) -> None:
    """Removes sets that nobody reads until `folder` with `size` bytes fits beside the others."""
    others = [found.parent for found in folder.parent.glob(f"*/{_IN_USE}")]
    others.remove(folder)
    sizes = {other: sum(path.stat().st_size for path in other.iterdir()) for other in others}
    for other in sorted(others, key=lambda other: (other / _IN_USE).stat().st_mtime):
        if size + sum(sizes.values()) <= limit:
            return
        with (other / _IN_USE).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(other)
            del sizes[other]


def _stage(path: str, folder: Path, shard: Shard) -> None:
    """Fetches a shard unless it is there, whole and undamaged."""
    local = folder / shard.file
    with contextlib.suppress(DamagedError, FileNotFoundError):
        _check(str(local), shard)
        return
    remove_abandoned(str(local))
    temporary = temporary_name(str(local))
    try:
        fetch(path, temporary, lambda copied: _check(copied, shard))
    except DamagedError as error:
        raise UserError(
            f"{path} is not what its manifest says ({error}): prepare the folder again."
        ) from error
    os.replace(temporary, local)


def _check(local: str, shard: Shard) -> None:
    size = os.path.getsize(local)
    if size != shard.bytes:
        raise DamagedError(f"{size} bytes, not {shard.bytes}")
    if sha256_of(local) != shard.sha256:
        raise DamagedError("another sha256")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other process is in such a block."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
