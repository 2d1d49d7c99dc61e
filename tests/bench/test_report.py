import json
from pathlib import Path

import pytest

from bench.report import BenchResult, Row, number, table, write_json

MACHINE: dict[str, object] = {
    "cpu": "abacus",
    "cores": 2,
    "memory_gib": 1.5,
    "system": "Linux x86_64",
    "python": "3.11.0",
    "versions": {"numpy": "2.0"},
    "date": "2026-11-23",
}


def test_one_table_of_all_benches() -> None:
    results = {
        "step": BenchResult(
            [Row.of("ours / theirs", [1.5, 1.0, 2.0])], {}, ["one is left out: why"]
        ),
        "start": BenchResult([Row.of("first step after", [9.87], "s")], {}),
    }
    assert table(results, MACHINE) == (
        "abacus, 2 cores, 1.5 GiB, Linux x86_64; Python 3.11.0, numpy 2.0; 2026-11-23.\n"
        "\n"
        "| bench | what | minimum | median | spread |\n"
        "|---|---|---|---|---|\n"
        "| step | ours / theirs | 1.00 | 1.50 | 67% of 3 |\n"
        "| start | first step after |  | 9.87 s | one run |\n"
        "\n"
        "- step: one is left out: why\n"
    )


def test_parts_are_joined_under_what_they_are_about() -> None:
    plain = BenchResult([Row.of("ours", [1.0])], {"raw": [1.0]})
    other = BenchResult([Row.of("ours", [2.0])], {"raw": [2.0]}, ["one is left out"])
    joined = BenchResult.joined({"": plain, "bfloat16": other})
    assert [row.what for row in joined.rows] == ["ours", "bfloat16: ours"]
    assert joined.notes == ["bfloat16: one is left out"]
    assert joined.details == {"whole": {"raw": [1.0]}, "bfloat16": {"raw": [2.0]}}


@pytest.mark.parametrize(
    "value, text",
    [(1.0, "1.00"), (0.01234, "0.0123"), (312.4, "312"), (99.96, "100"), (123456, "123,000")],
)
def test_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_json_has_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = BenchResult([Row.of("x", [2.0, 4.0], "s")], {"raw": [2.0, 4.0]})
    found = json.loads(Path(write_json("step", result, MACHINE)).read_text())
    assert found["machine"] == MACHINE and found["details"] == {"raw": [2.0, 4.0]}
    assert found["rows"][0]["summary"] == {"minimum": 2.0, "median": 3.0, "spread": 2 / 3}
