"""metrics.jsonl where a kill, a full disk or another program has been at it."""

import ctypes
import os
from pathlib import Path

import pytest

from trainer.errors import DiskError
from trainer.run.metrics_file import MetricsFile, read_metrics

GOOD = b'{"step": 1, "epoch": 0.1, "a": 2.0}\n', b'{"step": 3, "epoch": 0.3, "alarm": "b"}\n'
DAMAGED = {
    "binary": b"\xff\xfe\x00\x80\n",
    "empty": b"\n",
    "cut": b'{"step": 2, "ep\n',
    "no object": b"[2]\n",
    "no step": b'{"epoch": 0.2}\n',
    "a word as step": b'{"step": "two", "epoch": 0.2}\n',
    "a list in place of a number": b'{"step": 2, "epoch": 0.2, "a": [1]}\n',
    "a word in place of a number": b'{"step": 2, "epoch": 0.2, "a": "one"}\n',
    "deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_lines_that_cannot_be_read_are_told_and_left_out(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(GOOD[0] + DAMAGED[name] + GOOD[1] + b'{"step": 4')
    assert [line["step"] for line in read_metrics(str(tmp_path))] == [1, 3]
    assert f"{path} has 1 damaged line(s)" in caplog.text
    file = MetricsFile(str(tmp_path), 1)
    file.write(2, 0.2, {"b": 1.0})
    file.close()
    assert path.read_bytes() == GOOD[0] + b'{"step": 2, "epoch": 0.2, "b": 1.0}\n'


def test_a_whole_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(GOOD))
    before = path.stat().st_ino
    MetricsFile(str(tmp_path), 3).close()
    assert path.stat().st_ino == before and path.read_bytes() == b"".join(GOOD)


def test_lines_that_could_not_be_written_are_told(tmp_path: Path) -> None:
    file = MetricsFile(str(tmp_path), 0)
    os.symlink("/dev/full", tmp_path / "full")
    os.replace(tmp_path / "full", tmp_path / "metrics.jsonl")
    file.close()
    file = MetricsFile(str(tmp_path), 0)
    file.write(1, 0.1, {})
    libc = ctypes.CDLL(None)
    libc.fflush(None)  # as TensorFlow does while it saves a checkpoint
    with pytest.raises(DiskError, match=f"{tmp_path} has no room"):
        file.flush()
