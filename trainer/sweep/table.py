"""What came of a sweep, as a Markdown table that can be read as text too."""

import math
from collections.abc import Sequence

from trainer.evaluation.measure_names import better_direction, short_name
from trainer.report.ranking import Candidate, Ranking, Spread


def table(
    candidates: Sequence[Candidate],
    fields: Sequence[str],
    best_by: str,
    rungs: Sequence[str] = (),
) -> str:
    """Says what ranks and which run is best, and has a row for each candidate.

    Args:
        candidates: with the values of the fields as their names.
        fields: that the sweep varies, but for the seed.
        best_by: the measure that ranks, such as `fid`, where the runs were evaluated.
        rungs: the epochs of each; the candidates stand on one of them.
    """
    ranking = Ranking(candidates, best_by)
    rows = [
        [
            *each.name,
            *([f"{each.rung} of {len(rungs)}"] if rungs else []),
            str(len(each.results)),
            *map(_cell, ranking.cells(each)),
        ]
        for each in ranking.candidates
    ]
    heads = [*fields, *(["rung"] if rungs else []), "runs", *ranking.heads]
    text = _markdown([heads, *rows])
    if not ranking.by:
        return (
            "Nothing ranks these runs, since losses do not tell which images are better: "
            f"set evaluation.every_epochs.\n\n{text}"
        )
    by = short_name(ranking.by)
    highest = ranking.candidates[0].rung
    results = [result for each in candidates if each.rung == highest for result in each.results]
    best = min(results, key=lambda result: ranking.score([result]))
    shown = f"{best.last.get(ranking.by, math.nan):.4g} at step {best.last.get('step', 0):.0f}"
    return (
        f"Best first by {by} ({better_direction(by)} is better). Measures are of each run's last "
        f"evaluation, that of its last checkpoint; only `best {by}` is of its best one, the "
        "luckiest of several, which is kept in best/. Losses are the last ones. Mean +- standard "
        f"deviation over seeds.{_about(rungs)}\n\n{text}\n"
        f"Best run: {best.run}, {by} {shown}.\n"
    )


def _about(rungs: Sequence[str]) -> str:
    if not rungs:
        return ""
    return (
        f" Rungs of {' and '.join(rungs)} epochs: the best third of each, rounded up, went on; a "
        "row is about the last rung that its candidate reached."
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
