"""What a bench found: rows of a Markdown table, and JSON with everything behind them."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bench.machine import one_line
from bench.timed_processes import Summary

RESULTS_DIR = "runs/bench"


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity, in `unit` (empty: a ratio), measured in `rounds` rounds."""

    what: str
    unit: str
    summary: Summary
    rounds: int

    @classmethod
    def of(cls, what: str, values: Sequence[float], unit: str = "") -> "Row":
        """A row of one value a round."""
        return cls(what, unit, Summary.of(values), len(values))

    def cells(self) -> list[str]:
        """The cells of its line in the table."""
        unit = f" {self.unit}" if self.unit else ""
        minimum, median = (
            f"{number(value)}{unit}" for value in (self.summary.minimum, self.summary.median)
        )
        if self.rounds == 1:
            return [self.what, "", median, "one run"]
        return [self.what, minimum, median, f"{self.summary.spread:.0%} of {self.rounds}"]


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """What a bench returns.

    Attributes:
        rows: for the table.
        details: everything behind them, for JSON.
        notes: sentences that a reader of the rows needs, such as who was left out and why.
    """

    rows: list[Row]
    details: dict[str, Any]
    notes: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def joined(cls, parts: Mapping[str, "BenchResult"]) -> "BenchResult":
        """One of several; what each part is about is put before its rows and notes.

        Args:
            parts: by what they are about; where that is empty, nothing is put before.
        """
        rows, details, notes = [], {}, []
        for about, part in parts.items():
            before = f"{about}: " if about else ""
            rows += [dataclasses.replace(row, what=before + row.what) for row in part.rows]
            notes += [before + note for note in part.notes]
            details[about or "whole"] = part.details
        return cls(rows, details, notes)


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"


def table(results: dict[str, BenchResult], machine: dict[str, object]) -> str:
    """One Markdown table of all benches, the machine above it and the notes below."""
    lines = [
        one_line(machine),
        "",
        "| bench | what | minimum | median | spread |",
        "|---|---|---|---|---|",
    ]
    for bench, result in results.items():
        for row in result.rows:
            lines.append("| " + " | ".join([bench, *row.cells()]) + " |")
    notes = [f"- {bench}: {note}" for bench, o in results.items() for note in o.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def write_json(bench: str, result: BenchResult, machine: dict[str, object]) -> str:
    """Writes RESULTS_DIR/BENCH.json and returns its path."""
    from trainer.storage.files import write_text  # TensorFlow, which bench.gpu does without

    os.makedirs(RESULTS_DIR, exist_ok=True)
    path = os.path.join(RESULTS_DIR, f"{bench}.json")
    found = {"bench": bench, "machine": machine, **dataclasses.asdict(result)}
    write_text(path, json.dumps(found, indent=2) + "\n")
    return path
