"""What came of a sweep, as a Markdown table that can be read as text too."""

import math
from collections.abc import Sequence

from trainer.evaluation.measure_names import better_direction, short_name
from trainer.report.ranking import Candidate, Ranking, Spread


def table(candidates: Sequence[Candidate], fields: Sequence[str], best_by: str) -> str:
    """Says what ranks and which run is best, and has a row for each candidate.

    Args:
        candidates: with the values of the fields as their names.
        fields: that the sweep varies, but for the seed.
        best_by: the measure that ranks, such as `fid`, where the runs were evaluated.
    """
    ranking = Ranking(candidates, best_by)
    rows = [
        [*each.name, str(len(each.results)), *map(_cell, ranking.cells(each))]
        for each in ranking.candidates
    ]
    text = _markdown([[*fields, "runs", *ranking.heads], *rows])
    if not ranking.by:
        return (
            "Nothing ranks these runs, since losses do not tell which images are better: "
            f"set evaluation.every_epochs.\n\n{text}"
        )
    by = short_name(ranking.by)
    results = [result for each in candidates for result in each.results]
    best = min(results, key=lambda result: ranking.score([result]))
    shown = f"{best.last.get(ranking.by, math.nan):.4g} at step {best.last.get('step', 0):.0f}"
    return (
        f"Best first by {by} ({better_direction(by)} is better). Measures are of each run's last "
        f"evaluation, that of its last checkpoint; only `best {by}` is of its best one, the "
        "luckiest of several, which is kept in best/. Losses are the last ones. Mean +- standard "
        f"deviation over seeds.\n\n{text}\n"
        f"Best run: {best.run}, {by} {shown}.\n"
    )


def _cell(value: Spread | None) -> str:
    if value is None:
        return "-"
    mean, deviation = value
    return f"{mean:.4g}" if deviation is None else f"{mean:.4g} +- {deviation:.2g}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, the first row its head, in columns that stand under one another as text too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"| {' | '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in rows
    ]
    lines.insert(1, f"|{'|'.join('-' * (width + 1) + ':' for width in widths)}|")
    return "\n".join(lines) + "\n"
