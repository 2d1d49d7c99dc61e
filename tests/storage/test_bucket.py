"""Against a server that fails on demand."""

import contextlib
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import tensorflow as tf

from tests.helpers.gs import client_at
from tests.helpers.local_gcs import FaultKind, LocalGcs
from trainer.errors import StorageOutageError, UserError
from trainer.storage import bucket
from trainer.storage.bucket import check_writable, fetch, file_sizes, upload_saved_model
from trainer.storage.bucket_errors import DamagedError, naming_buckets_of_streams, reason


@pytest.fixture(scope="module")
def gcs() -> Iterator[LocalGcs]:
    with LocalGcs() as server:
        yield server


@pytest.fixture
def files(gcs: LocalGcs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with client_at(gcs, monkeypatch) as client:
        yield client


def test_the_write_test_leaves_nothing_behind(gcs: LocalGcs, files: Any) -> None:
    before = len(gcs.requests)
    check_writable("gs://bucket/run")
    methods = [request.split()[0] for request in gcs.requests[before:]]
    assert methods == ["POST", "GET", "DELETE"]
    assert files.find("gs://bucket/run") == []


@pytest.mark.parametrize("kind", [429, 503, "reset", "cut_upload", "lost_answer"])
def test_what_may_pass_is_tried_again(gcs: LocalGcs, files: Any, kind: FaultKind) -> None:
    met = len(gcs.met)
    gcs.inject(kind, times=3, method="POST")
    check_writable("gs://bucket/run")
    assert len(gcs.met) == met + 3


@pytest.mark.parametrize(
    "status, words",
    [
        (401, "HTTP status 401): the bucket bucket did not accept the credentials"),
        (403, "HTTP status 403): the account may not do this in the bucket bucket; give it the"),
    ],
)
def test_a_refusal_is_told_at_once(gcs: LocalGcs, files: Any, status: int, words: str) -> None:
    gcs.inject(status, times=99)
    before = len(gcs.requests)
    with pytest.raises(UserError) as caught:
        check_writable("gs://bucket/run")
    assert "gs://bucket/run cannot be written to" in str(caught.value)
    assert words in str(caught.value)
    assert len(gcs.requests) == before + 1


@pytest.mark.parametrize(
    "method, words",
    [
        ("GET", "gs://bucket/run cannot be read"),
        ("DELETE", "cannot be cleared of what was written"),
    ],
)
def test_a_missing_right_is_named(gcs: LocalGcs, files: Any, method: str, words: str) -> None:
    gcs.inject(403, times=99, method=method)
    with pytest.raises(UserError, match=words):
        check_writable("gs://bucket/run")


def test_a_bucket_that_is_not_there(files: Any) -> None:
    with pytest.raises(UserError, match=r"gs://nowhere/run .*404.*buckets create gs://nowhere"):
        check_writable("gs://nowhere/run")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    bucket.filesystem.cache_clear()
    with pytest.raises(UserError, match="gcloud auth application-default login"):
        check_writable("gs://bucket/run")


def test_an_outage_is_no_mistake_of_the_user(gcs: LocalGcs, files: Any) -> None:
    gcs.inject(503, times=1000)
    with pytest.raises(StorageOutageError, match=r"gs://bucket/run .*503.*give the same command"):
        check_writable("gs://bucket/run")


def test_sizes_take_one_request(gcs: LocalGcs, files: Any) -> None:
    for name, size in (("a", 3), ("b", 0), ("deeper/c", 5)):
        files.pipe_file(f"gs://bucket/sizes/{name}", b"x" * size)
    before = len(gcs.requests)
    assert file_sizes("gs://bucket/sizes") == {"a": 3, "b": 0}
    assert len(gcs.requests) == before + 1


def test_a_copy_that_is_cut_is_made_again(gcs: LocalGcs, files: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    files.pipe_file("gs://bucket/file", content)
    gcs.inject("cut_download", times=2, path="alt=media")
    fetch("gs://bucket/file", str(tmp_path / "file"), lambda path: None)
    assert (tmp_path / "file").read_bytes() == content
    assert gcs.met[-1].startswith("cut_download GET")


@pytest.mark.parametrize(
    "error, failures, waits",
    [
        (DamagedError("another\nsha256"), 2, [1, 2]),
        (DamagedError("another\nsha256"), 99, [1, 2, 4, 8]),
        (KeyError("no fault of the bucket"), 99, []),
    ],
)
def test_a_damaged_copy_is_made_again(
    files: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    failures: int,
    waits: list[int],
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)

    def check(path: str) -> None:
        if len(slept) < failures:
            raise error

    files.pipe_file("gs://bucket/file", b"content")
    with contextlib.nullcontext() if failures == 2 else pytest.raises(type(error)):
        fetch("gs://bucket/file", str(tmp_path / "file"), check)
    assert all(wait / 2 <= seconds <= wait for seconds, wait in zip(slept, waits, strict=True))
    logged = ["gs://bucket/file: another; tries again for a while"] if waits else []
    assert caplog.messages == logged


@pytest.fixture
def saved_model(tmp_path: Path) -> Path:
    for name in ("assets/a", "saved_model.pb", "variables/variables.index", "fingerprint.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_saved_model_is_there_when_all_is(gcs: LocalGcs, files: Any, saved_model: Path) -> None:
    upload_saved_model(str(saved_model), "gs://bucket/export")
    assert len(files.find("gs://bucket/export")) == 4
    before = len(gcs.requests)
    upload_saved_model(str(saved_model), "gs://bucket/export")
    changes = [each for each in gcs.requests[before:] if not each.startswith("GET")]
    assert changes[0].startswith("DELETE") and changes[0].endswith("export/saved_model.pb")
    assert len(changes) == 5


def test_half_a_saved_model_is_none(gcs: LocalGcs, files: Any, saved_model: Path) -> None:
    upload_saved_model(str(saved_model), "gs://bucket/half")
    gcs.inject(403, times=1, method="POST")
    with pytest.raises(UserError, match="gs://bucket/half cannot be written to"):
        upload_saved_model(str(saved_model), "gs://bucket/half")
    assert "bucket/half/saved_model.pb" not in files.find("gs://bucket/half")


@pytest.mark.parametrize(
    "kind, text, error",
    [
        (tf.errors.AbortedError, "All 10 retry attempts failed. The last failure: Error "
         "executing an HTTP request: libcurl code 56", StorageOutageError),
        (tf.errors.PermissionDeniedError, "Error executing an HTTP request: HTTP response code 403 "
         "with body '{'", UserError),
        (tf.errors.AbortedError, "Collective ops is aborted", tf.errors.AbortedError),
    ],
)  # fmt: skip
def test_errors_of_tensorflow(kind: type[Exception], text: str, error: type[Exception]) -> None:
    message = f"{text}\n\t when initiating an upload to gs://bucket/run/step-1.index"
    with pytest.raises(error) as caught, naming_buckets_of_streams():
        raise kind(None, None, message)
    if error is not kind:
        assert "gs://bucket/run/step-1.index cannot be used" in str(caught.value)


def test_other_errors_pass() -> None:
    for error in (tf.errors.NotFoundError(None, None, "no file x"), KeyError("gs://bucket/x")):
        with pytest.raises(type(error)), naming_buckets_of_streams():
            raise error


PLANTED = "planted-5ecr3t"


class RefusedError(Exception):
    """As gcsfs's HttpError: to import that here would be before `bucket` has set gcsfs up."""

    code = 400


@pytest.mark.parametrize(
    "text",
    [
        f"Cannot connect to https://user:{PLANTED}@proxy:3128",
        f"400, url='https://storage.googleapis.com/upload/b/o?uploadType=x&upload_id={PLANTED}&a=b'",
        f"Max retries exceeded with url: /b/o?key=AIza{PLANTED} (Caused by x)",
        f"<CIMultiDict('Authorization': 'Bearer {PLANTED}', 'Accept': '*/*')>",
        f"authorization: Basic {PLANTED}",
        f'b\'{{"access_token": "{PLANTED}", "expires_in": 3599}}\'',
        f"refused: bearer {PLANTED}",
        f"ya29.{PLANTED} is no longer valid",
        f"invalid_grant: refresh_token={PLANTED}",
        f"{{'private_key': '{PLANTED}'}}",
        f"secret_access_key={PLANTED}, api_key={PLANTED}",
        f"wrong password '{PLANTED}'",
        f"Cookie: session={PLANTED}",
    ],
)
@pytest.mark.parametrize(
    "kind",
    [aiohttp.ClientError, requests.RequestException, ConnectionError, RefusedError, KeyError],
)
def test_no_key_or_token_is_told(
    text: str,
    kind: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(path: str, local: str) -> None:
        raise kind(text)

    monkeypatch.setattr(bucket, "filesystem", lambda: types.SimpleNamespace(get_file=fail))
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    with pytest.raises(Exception) as caught:
        fetch("gs://bucket/file", "file", lambda path: None)
    told = f"{caught.value} {caught.value!r} {caplog.text}"
    assert PLANTED not in told and "..." in told
    assert isinstance(caught.value, StorageOutageError) == (kind not in (RefusedError, KeyError))


@pytest.mark.parametrize("name", ["/runs/1//config.json", "gs://b/x?generation=12"])
def test_a_name_that_looks_like_a_key_stays(name: str) -> None:
    assert reason(OSError(f"{name} is not there")) == f"{name} is not there"


def test_the_server_of_these_tests_ends_with_its_process() -> None:
    code = (
        "from tests.helpers.local_gcs import LocalGcs\n"
        "with LocalGcs() as gcs: print(gcs.store_port, flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    assert listens(port)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while listens(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not listens(port)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
