import dataclasses
import logging
from pathlib import Path

import pytest

from trainer.data.tfrecord import Manifest
from trainer.run.data_record import (
    DataRecord,
    read_data_record,
    tell_other_records,
    write_data_record,
)

MANIFEST = Manifest(1, "images:caf\udce9", (8, 8, 3), "raw", ("caf\udce9", "\u65e5"), ())


def test_it_comes_back_and_tells_of_other_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trainer")
    assert read_data_record(str(tmp_path)) is None
    write_data_record(str(tmp_path), MANIFEST)
    assert read_data_record(str(tmp_path)) == DataRecord.of(MANIFEST)
    tell_other_records(str(tmp_path), MANIFEST, "compared with")
    assert not caplog.messages
    # What is logged must be UTF-8: pytest-xdist passes it on between its processes.
    trained, other = (dataclasses.replace(MANIFEST, source=name) for name in ("idx:a", "digits"))
    write_data_record(str(tmp_path), trained)
    tell_other_records(str(tmp_path), other, "used with")
    (message,) = caplog.messages
    assert message.endswith("on 0 images of idx:a, and is used with 0 images of digits")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"class_names": null}', '{"class_names": [], "a": 1}', "[" * 100_000),
        '{"source": "a", "num_images": 1, "class_names": [1, 2]}',
        '{"source": 5, "num_images": 1, "class_names": []}',
    ],
)
def test_a_damaged_one_is_left_out(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trainer")
    (tmp_path / "data.json").write_text(text)
    assert read_data_record(str(tmp_path)) is None
    assert "data.json is damaged and left out" in caplog.text
