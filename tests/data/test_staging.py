"""The cache of gs:// records, against a local server."""

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.gs import client_at, upload
from tests.helpers.local_gcs import LocalGcs
from trainer.data import staging
from trainer.data.staging import shard_paths
from trainer.data.tfrecord import Manifest, check_sizes, read_manifest
from trainer.errors import UserError

RECORDS = "gs://bucket/records"


@pytest.fixture(scope="module")
def gcs() -> Iterator[LocalGcs]:
    with LocalGcs() as server:
        yield server


@pytest.fixture
def files(gcs: LocalGcs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("TRAINER_CACHE_DIR", str(tmp_path / "cache"))
    with client_at(gcs, monkeypatch) as client:
        yield client
        end_process()


@pytest.fixture
def manifest(files: Any, tiny_records: str) -> Manifest:
    upload(Path(tiny_records), files, RECORDS)
    return read_manifest(tiny_records)


def end_process() -> None:
    """What the end of a process does to its claims."""
    for file in staging._kept_open:
        file.close()
    staging._kept_open.clear()
    staging._staged.cache_clear()


def fetched(gcs: LocalGcs, since: int) -> list[str]:
    """The shards that were downloaded."""
    media = [request for request in gcs.requests[since:] if "alt=media" in request]
    return [request.split("?")[0].rpartition("/")[2] for request in media]


def test_shards_are_fetched_once(gcs: LocalGcs, manifest: Manifest, tiny_records: str) -> None:
    before = len(gcs.requests)
    paths = shard_paths(RECORDS, manifest)
    for path, shard in zip(paths, manifest.shards, strict=True):
        assert Path(path).read_bytes() == Path(tiny_records, shard.file).read_bytes()
    assert sorted(fetched(gcs, before)) == [shard.file for shard in manifest.shards]
    before = len(gcs.requests)
    end_process()
    assert shard_paths(RECORDS, manifest) == paths
    assert len(gcs.requests) == before


def test_local_records_are_read_where_they_are(manifest: Manifest, tiny_records: str) -> None:
    assert shard_paths(tiny_records, manifest) == [
        f"{tiny_records}/{shard.file}" for shard in manifest.shards
    ]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"\0"])
def test_a_damaged_shard_is_fetched_again(gcs: LocalGcs, manifest: Manifest, damage: Any) -> None:
    path = Path(shard_paths(RECORDS, manifest)[1])
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.write_bytes(damage(whole))
    end_process()
    before = len(gcs.requests)
    shard_paths(RECORDS, manifest)
    assert path.read_bytes() == whole
    assert fetched(gcs, before) == [manifest.shards[1].file]


def test_what_a_kill_left_behind_is_removed(manifest: Manifest) -> None:
    path = Path(shard_paths(RECORDS, manifest)[0])
    ended = subprocess.Popen(["true"])
    ended.wait()
    ours = f"{path}.tmp-dcgan-{socket.gethostname()}"
    others = [f"{ours}-{os.getpid()}", f"{path}.tmp-dcgan-elsewhere-7", f"{path}.tmp-2025"]
    for name in (f"{ours}-{ended.pid}", *others):
        Path(name).touch()
    path.unlink()
    end_process()
    shard_paths(RECORDS, manifest)
    # This process has just used its own name.
    assert path.exists() and {*map(str, path.parent.glob("*.tmp-*"))} == {*others[1:]}


def test_a_shard_that_is_damaged_in_the_bucket(files: Any, manifest: Manifest) -> None:
    name = f"{RECORDS}/{manifest.shards[0].file}"
    files.pipe_file(name, b"\0" * manifest.shards[0].bytes)
    with pytest.raises(UserError, match=f"{name} is not what its manifest says .another sha256"):
        shard_paths(RECORDS, manifest)
    assert not list(Path(os.environ["TRAINER_CACHE_DIR"]).rglob("*.tfrecord"))
    files.pipe_file(name, b"\0")
    with pytest.raises(UserError, match=f"{name} has 1 bytes"):
        check_sizes(RECORDS, manifest)


def test_processes_that_start_together_fetch_once(gcs: LocalGcs, manifest: Manifest) -> None:
    before = len(gcs.requests)
    with ThreadPoolExecutor(4) as pool:
        # Past the cache of results, which is each process's own.
        folders = set(pool.map(lambda _: staging._staged.__wrapped__(RECORDS, manifest), range(4)))
    assert len(folders) == 1
    assert sorted(fetched(gcs, before)) == [shard.file for shard in manifest.shards]


def other_set(manifest: Manifest, files: Any, name: str) -> tuple[str, Manifest]:
    """The same shards under another manifest, so another set."""
    folder = f"gs://bucket/{name}"
    for shard in manifest.shards:
        files.pipe_file(f"{folder}/{shard.file}", files.cat_file(f"{RECORDS}/{shard.file}"))
    changed = {**manifest.__dict__, "source": name}
    return folder, Manifest(**changed)


def test_the_lru_set_goes(files: Any, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(shard.bytes for shard in manifest.shards)
    monkeypatch.setenv("TRAINER_CACHE_GIB", str(2.5 * size / 2**30))
    sets = {name: other_set(manifest, files, name) for name in ("first", "second", "third")}
    folders = {}
    for age, name in enumerate(("first", "second")):
        folders[name] = Path(shard_paths(*sets[name])[0]).parent
        os.utime(folders[name] / "in_use", (age, age))
    end_process()
    shard_paths(*sets["first"])  # used again, so the second is the older now
    end_process()
    folders["third"] = Path(shard_paths(*sets["third"])[0]).parent
    assert [name for name, folder in folders.items() if folder.exists()] == ["first", "third"]


def test_sets_in_use_stay(files: Any, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(shard.bytes for shard in manifest.shards)
    monkeypatch.setenv("TRAINER_CACHE_GIB", str(1.5 * size / 2**30))
    in_use = Path(shard_paths(RECORDS, manifest)[0])
    shard_paths(*other_set(manifest, files, "another"))
    assert in_use.exists()


def test_a_set_too_large_for_the_cache(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_CACHE_GIB", "0")
    assert shard_paths(RECORDS, manifest)[0] == f"{RECORDS}/{manifest.shards[0].file}"


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("GIB", "many", "TRAINER_CACHE_GIB is 'many'"),
        ("DIR", "/proc/cache", "set TRAINER_CACHE_"),
        ("DIR", "", "kept in '': it is empty.* TRAINER_CACHE_DIR names another"),
        ("DIR", "~nobody-here/cache", "nobody's home folder here.* TRAINER_CACHE_DIR"),
    ],
)
def test_a_cache_that_will_not_do(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"TRAINER_CACHE_{name}", value)
    with pytest.raises(UserError, match=words):
        shard_paths(RECORDS, manifest)
