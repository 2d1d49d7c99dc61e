"""Disks that refuse, some of them real: /dev/full never has room, /proc/self/mem cannot be read."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.errors import DiskError, UserError
from trainer.storage.disk import naming_the_disk
from trainer.storage.files import naming_the_output, temporary_name, write_bytes


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
        (errno.EDQUOT, "has no room: this account's quota there is used up ("),
        (errno.EFBIG, "see ulimit -f"),
        (errno.EIO, "its disk fails, see dmesg"),
        (errno.EACCES, "this account may not do that; let it write in"),
        (errno.EROFS, "its file system is read-only"),
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
    with pytest.raises(DiskError), naming_the_disk():
        raise OSError(number, why)  # as a write has it


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
    with pytest.raises(UserError, match=sentence), naming_the_output("--output=a"):
        tf.io.gfile.makedirs(str(tmp_path / "file/folder"))
