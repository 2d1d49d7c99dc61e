"""One training at a time: on a local path by the kernel, on gs:// by an object."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.gs import client_at
from tests.helpers.local_gcs import LocalGcs
from trainer.errors import UserError
from trainer.run import lock
from trainer.run.lock import locked

RUN, LOCK = "gs://bucket/run", "gs://bucket/run/run.lock"

HOLDER = """
import sys, time
from trainer.run.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_training_at_a_time_until_its_process_is_gone(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    try:
        in_use = f"in use: process {holder.pid} on .*, started 20"
        with pytest.raises(UserError, match=in_use), locked(str(tmp_path)):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with locked(str(tmp_path)):
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[LocalGcs]:
    with LocalGcs() as gcs:
        yield gcs


@pytest.fixture
def gcs(server: LocalGcs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client, with beats every 0.2 s; a second without one is a silence."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lock, "SILENCE_SECONDS", 1)
    with client_at(server, monkeypatch) as files:
        if files.exists(LOCK):
            files.rm_file(LOCK)
        yield files


def holder(**other: Any) -> bytes:
    """The lock of a process on another host."""
    known = {"host": "far", "machine": "", "process": 7, "started": "2026-01-02"} | other
    return json.dumps(known).encode()


def test_on_gs_one_that_beats_is_named_and_left_alone(gcs: Any) -> None:
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.2):
            gcs.pipe_file(LOCK, holder())

    gcs.pipe_file(LOCK, holder())
    far = threading.Thread(target=beat)
    far.start()
    try:
        with pytest.raises(UserError, match="process 7 on far, started 2026-01-02"), locked(RUN):
            pass
    finally:
        ended.set()
        far.join()
    assert gcs.cat_file(LOCK) == holder()


def test_on_gs_a_silent_one_is_replaced_and_ours_goes_at_the_end(gcs: Any) -> None:
    gcs.pipe_file(LOCK, holder())
    before = time.monotonic()
    with locked(RUN):
        assert time.monotonic() - before > 0.9  # the server tells whole seconds
        assert json.loads(gcs.cat_file(LOCK))["host"] == socket.gethostname()
        generation = gcs.info(LOCK)["generation"]
        time.sleep(0.5)
        assert gcs.info(LOCK)["generation"] != generation
    assert not gcs.exists(LOCK)


@pytest.mark.parametrize("content", [b"[]", b"\xff"])
def test_on_gs_an_unreadable_lock_lapses_too(gcs: Any, content: bytes) -> None:
    gcs.pipe_file(LOCK, content)
    with locked(RUN):
        pass


def test_on_gs_one_of_a_process_gone_from_here_is_replaced_at_once(
    gcs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SILENCE_SECONDS", 3600)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = {"host": socket.gethostname(), "machine": lock._machine()}
    gcs.pipe_file(LOCK, holder(**here, process=gone.pid))
    with locked(RUN):
        pass


def test_on_gs_two_that_start_at_once_do_not_both_hold_it(
    gcs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, held = lock.generations.find_version, []

    def find_before_the_other_writes(path: str) -> Any:
        found = find(path)
        if not held:
            held.append(gcs.pipe_file(LOCK, holder()))
        return found

    monkeypatch.setattr(lock.generations, "find_version", find_before_the_other_writes)
    before = time.monotonic()
    with locked(RUN):
        assert time.monotonic() - before > 0.9


def test_on_gs_a_lost_answer_is_not_taken_for_another_holder(gcs: Any, server: LocalGcs) -> None:
    server.inject("lost_answer", times=2, method="POST", path="run.lock")
    with locked(RUN):
        assert any("run.lock" in each for each in server.met)
        time.sleep(0.5)


def test_on_gs_a_deleted_lock_is_written_again(gcs: Any) -> None:
    with locked(RUN):
        gcs.rm_file(LOCK)
        time.sleep(0.5)
        assert gcs.exists(LOCK)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_on_gs_a_run_that_lost_its_lock_ends_at_once(
    gcs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[int, str]] = []

    def leave(*code_and_message: Any) -> None:
        left.append(code_and_message)
        sys.exit()  # of the thread

    monkeypatch.setattr(lock, "leave_at_once", leave)
    with locked(RUN):
        gcs.pipe_file(LOCK, holder())
        time.sleep(0.5)
    assert len(left) == 1 and left[0][0] == 1
    assert "process 7 on far" in left[0][1] and "without saving" in left[0][1]
    assert gcs.cat_file(LOCK) == holder()
