import dataclasses
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
        Score("a/best/step-10", fid, 2000, "5e6f7a8b", 12.0, 11.0, 13.0, 2.5),
        Score("a/best/step-10", recall, 2000, "5e6f7a8b", 0.5, -0.5, 1.5, 2.5),
        Score("b/export", fid, 2000, "5e6f7a8b", 13.0, 12.0, 14.0, 2.5),
    ]
    assert read_scores(str(tmp_path)) == []


def evaluations_in(report: Path) -> list[list[str]]:
    rows = Page(report).rows()
    return rows[rows.index(["images of", "value", "95% interval", "real images"]) + 1 :]


def test_the_report_has_all_of_a_measure_together_and_each_once(tmp_path: Path) -> None:
    first = evaluation_of(tmp_path / "a/checkpoints/step-10", 10, fid=12.0, oddity=1.0)
    second = evaluation_of(tmp_path / "b/checkpoints/step-10", 10, fid=13.0)
    runs = [
        make_run(tmp_path / "a", [log_line(10)], evaluations=[first, second]),
        make_run(tmp_path / "b", [log_line(10)], evaluations=[second]),
    ]
    write_report(runs, str(tmp_path / "report.html"))
    assert evaluations_in(tmp_path / "report.html")[:5] == [
        ["fid_tiny_1a2b3c4d lower is better, 2,000 images"],
        ["a/checkpoints/step-10", "12", "11 to 13", "2.5"],
        ["b/checkpoints/step-10", "13", "12 to 14", "2.5"],
        ["oddity_tiny_1a2b3c4d 2,000 images"],
        ["a/checkpoints/step-10", "1", "0 to 2", "2.5"],
    ]


def test_what_does_not_compare_stands_apart(tmp_path: Path) -> None:
    first = evaluation_of("a/checkpoints/step-10", 10, fid=12.0)
    others = [{"samples": 500}, {"records": "9c0d1e2f"}]
    found = [first, *(dataclasses.replace(first, **changes) for changes in others)]  # type: ignore[arg-type]
    run = make_run(tmp_path / "a", [log_line(10)], evaluations=found)
    write_report([run], str(tmp_path / "report.html"))
    titles = [row[0] for row in evaluations_in(tmp_path / "report.html") if len(row) == 1]
    assert titles == [
        f"fid_tiny_1a2b3c4d lower is better, {images} images, beside the real images {real}"
        for images, real in (("2,000", "5e6f7a8b"), ("500", "5e6f7a8b"), ("2,000", "9c0d1e2f"))
    ]


WHOLE: dict[str, Any] = {"source": "a", "step": 1, "samples": 9, "records": "5e6f"}


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
