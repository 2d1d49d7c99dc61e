"""Clients of the local Google Cloud Storage."""

import asyncio
import contextlib
import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.local_gcs import LocalGcs
from trainer.storage import bucket


@contextlib.contextmanager
def client_at(gcs: LocalGcs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lets gcsfs, and gcsfs only, take `gcs` for the real one, and lets it not wait.

    TensorFlow holds Python's lock while it waits for gs://, so its streams need another process.
    """
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    bucket.filesystem.cache_clear()
    files = bucket.filesystem()
    at_once = types.SimpleNamespace(sleep=lambda seconds: asyncio.sleep(0))
    monkeypatch.setattr("gcsfs.retry.asyncio", at_once)
    monkeypatch.setattr("tenacity.nap.time", types.SimpleNamespace(sleep=lambda seconds: None))
    yield files
    gcs.heal()
    bucket.filesystem.cache_clear()


def client_of(gcs: LocalGcs) -> Any:
    """A client of the server behind the proxy, for which nothing fails."""
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # as trainer/storage/bucket.py does
    import gcsfs

    return gcsfs.GCSFileSystem(token="anon", endpoint_url=gcs.store_url, use_listings_cache=False)


def upload(folder: Path, files: Any, to: str) -> None:
    """Copies a folder to gs://."""
    for path in folder.rglob("*"):
        if path.is_file():
            files.pipe_file(f"{to}/{path.relative_to(folder)}", path.read_bytes())


def download(files: Any, source: str, folder: Path) -> Path:
    """Copies a folder from gs://."""
    start = source.removeprefix("gs://") + "/"
    for path in files.find(source):
        if path.endswith("/"):  # TensorFlow's marks of folders
            continue
        local = folder / path.removeprefix(start)
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(files.cat_file(path))
    return folder
