import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.made_up_run import Page, evaluation_of, log_line, make_run
from trainer.report.evaluations import Score, read_scores
from trainer.report.page import write_report


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "a",
        evaluations=[
            evaluation_of(tmp_path / "a/best/step-10", 10, fid=12.0, recall=0.5),
            evaluation_of("gs://bucket/runs/b/export/", None, fid=13.0),
        ],
    )
    fid, recall = "fid_tiny_1a2b3c4d", "recall_tiny_1a2b3c4d"
    assert read_scores(run) == [
        Score("a/best/step-10", 2000, fid, 12.0, 11.0, 13.0, 2.5),
        Score("a/best/step-10", 2000, recall, 0.5, -0.5, 1.5, 2.5),
        Score("b/export", 2000, fid, 13.0, 12.0, 14.0, 2.5),
    ]
    assert read_scores(str(tmp_path)) == []


def test_the_report_has_all_of_a_measure_together_and_each_once(tmp_path: Path) -> None:
    first = evaluation_of(tmp_path / "a/checkpoints/step-10", 10, fid=12.0, oddity=1.0)
    second = evaluation_of(tmp_path / "b/checkpoints/step-10", 10, fid=13.0)
    runs = [
        make_run(tmp_path / "a", [log_line(10)], evaluations=[first, second]),
        make_run(tmp_path / "b", [log_line(10)], evaluations=[second]),
    ]
    write_report(runs, str(tmp_path / "report.html"))
    rows = Page(tmp_path / "report.html").rows()
    start = rows.index(["checkpoint", "value", "95% interval", "real images", "samples"])
    assert rows[start + 1 : start + 6] == [
        ["fid_tiny_1a2b3c4d lower is better"],
        ["a/checkpoints/step-10", "12", "11 to 13", "2.5", "2,000"],
        ["b/checkpoints/step-10", "13", "12 to 14", "2.5", "2,000"],
        ["oddity_tiny_1a2b3c4d"],
        ["a/checkpoints/step-10", "1", "0 to 2", "2.5", "2,000"],
    ]


WHOLE: dict[str, Any] = {"source": "a", "step": 1, "samples": 9}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[{",
        b"\xff",
        b"3",
        b'{"fid": 1}',
        b"[" * 100_000,
        json.dumps([WHOLE]).encode(),
        json.dumps([WHOLE | {"measures": [1]}]).encode(),
        json.dumps([WHOLE | {"measures": {"fid": {"value": "many"}}}]).encode(),
        json.dumps([WHOLE | {"measures": {}, "source": 7}]).encode(),
    ],
)
def test_a_damaged_file_is_told_and_left_out(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path / "run", [log_line(10)])
    (tmp_path / "run/evaluation.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        write_report([run], str(tmp_path / "report.html"))
    assert f"{run}/evaluation.json is damaged and left out" in caplog.text
    assert "Evaluations" not in Page(tmp_path / "report.html").texts("h2")
