"""second_start: what `make train` takes when it is started a second time, into a new folder.

Its command, to the end, on records that are there already.
"""

from bench.records import digits
from bench.report import BenchResult, Row
from bench.runs import seconds_to_grid


def run(quick: bool) -> BenchResult:
    """One run."""
    fields: dict[str, object] = {"data.records_dir": digits()}
    if quick:
        fields |= {"train.epochs": 1, "train.grid_every_epochs": 1}
    to_grid, whole = seconds_to_grid("configs/digits.py", fields)
    return BenchResult(
        [
            Row.of("make train to the last grid", [to_grid], "s"),
            Row.of("make train to the end", [whole], "s"),
        ],
        {"seconds_to_last_grid": to_grid, "seconds": whole},
    )
