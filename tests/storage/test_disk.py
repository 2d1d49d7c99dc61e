"""Disks that refuse, some of them real: /dev/full never has room, /proc/self/mem cannot be read."""

import errno
import os
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import DiskError, UserError
from trainer.run.lock import locked
from trainer.storage.disk import naming_the_disk, naming_the_writing
from trainer.storage.files import naming_the_output, temporary_name, write_bytes
from trainer.storage.npz import BlockArray, write_npz


def test_a_full_disk_is_told_and_nothing_half_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("old")
    os.symlink("/dev/full", temporary_name(str(path)))
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(DiskError) as caught:
        write_bytes(str(path), b"1" * 2_345_678)
    told = str(caught.value)
    assert f"{tmp_path} has no room: its disk is full (2.3 MB needed, " in told
    assert abs(float(told.split("needed, ")[1].split(" GB")[0]) - free / 1e9) < 1
    assert "Make room" in told and "\n" not in told
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.ENOSPC, "has no room: its disk is full ("),
        (errno.EDQUOT, "has no room: this account's quota there is used up. Delete files"),
        (errno.EFBIG, "has no room: files may not grow as large there. Raise ulimit -f"),
        (errno.EIO, "its disk fails, see dmesg"),
        (errno.EACCES, "this account may not do that; let it write in"),
        (errno.EROFS, "its file system is read-only"),
        (errno.EMFILE, "one more than a process may open here; raise ulimit -n, or give fewer"),
    ],
)
def test_errors_of_python_and_of_tensorflow(number: int, words: str, tmp_path: Path) -> None:
    path, why = f"{tmp_path}/a b/c", os.strerror(number)
    told = []
    for error in (
        OSError(number, why, path),
        tf.errors.UnknownError(None, None, f"{path}; {why}"),
        tf.errors.UnknownError(None, None, f"{{{{function_node x}}}} {path}; {why}\n\tMore. [Op:]"),
    ):
        with pytest.raises(DiskError) as caught, naming_the_disk():
            raise error
        told.append(re.sub(r"[\d.]+ GB free", "", str(caught.value)))
        assert str(tmp_path) in told[-1] and words in told[-1]
    assert len(set(told)) == 1
    for given in (naming_the_disk(path), naming_the_output(path, "--output")):
        with pytest.raises(DiskError) as caught, given:
            raise OSError(number, why)  # as a write has it
        assert re.sub(r"[\d.]+ GB free", "", str(caught.value)) == told[0]
    for elsewhere in ("", "gs://bucket/a"):
        with pytest.raises(DiskError) as caught, naming_the_disk(elsewhere):
            raise OSError(number, why)
        assert os.getcwd() not in str(caught.value) and " free" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "/a.npz"])
def test_what_may_not_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.npz").touch()
    # Root may read all that there is.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{tmp_path}{name}")
    with pytest.raises(DiskError, match=f"let it read {tmp_path}{name}, or"), naming_the_disk():
        raise error


def test_files_that_name_no_path_as_they_are_written(tmp_path: Path) -> None:
    sentence = rf"{tmp_path} has no room: files may not grow as large there\. Raise ulimit -f"
    path, block = str(tmp_path / "a.npz"), np.zeros((1, 4), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(DiskError, match=sentence), locked(str(tmp_path)):
            raise AssertionError
        with pytest.raises(DiskError, match=sentence):
            write_npz(path, {"a": BlockArray((1, 4), block.dtype, [block])})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [each.name for each in tmp_path.iterdir()] == ["run.lock"]


def test_a_disk_that_fails_while_reading() -> None:
    sentence = "/proc/self/mem cannot be read .*Input/output error"
    with pytest.raises(DiskError, match=sentence), naming_the_disk():
        tf.io.gfile.GFile("/proc/self/mem", "rb").read(8)


def test_other_errors_pass(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for error in (ValueError("a; No space left on device"), FileNotFoundError(2, "x", "a")):
        with pytest.raises(type(error)), naming_the_disk():
            raise error
    sentence = r"--output=a cannot be written \(.*choose another"
    with pytest.raises(UserError, match=sentence), naming_the_output("a", "--output"):
        tf.io.gfile.makedirs(str(tmp_path / "file/folder"))


@pytest.mark.parametrize(
    "error", [MemoryError(), TypeError("of ours"), ValueError("OOM when allocating tensor")]
)
def test_a_disk_is_not_blamed_for_other_things(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, naming_the_writing("runs/a"):
        raise error
    assert caught.value is error
