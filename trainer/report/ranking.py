"""Finished runs of one config in one table, best first."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trainer.evaluation.evaluate import is_better
from trainer.evaluation.measure_names import better_direction, quality_metrics, short_name
from trainer.run.metrics_file import read_metrics

Values = tuple[tuple[str, str], ...]
"""What sets a run apart: (field, value) pairs, the same fields for all runs."""

_MEASURES = ("fid", "coverage", "class_kl")
_LOSSES = ("loss/generator", "loss/discriminator")


def ranking(runs: Mapping[str, Values], best_by: str) -> str:
    """A Markdown table of runs by directory; those that differ in the seed alone are one row.

    It says what ranks, `best_by` such as `fid` where the runs were evaluated, and the best run; it
    has a row for each combination of the values, with means and standard deviations over seeds.
    """
    results = {run_dir: _results(run_dir, best_by) for run_dir in runs}
    measures = quality_metrics([list(results.values())])
    by = next((name for name in measures if _is_of(name, [best_by])), None)
    columns = [name for name in measures if name == by or _is_of(name, _MEASURES)]
    columns += _LOSSES
    groups: dict[Values, list[dict[str, float]]] = {}
    for run_dir, values in runs.items():
        group = tuple((field, value) for field, value in values if field != "seed")
        groups.setdefault(group, []).append(results[run_dir])

    def rank(found: Sequence[Mapping[str, float]]) -> float:
        """Smaller is better; infinite where nothing ranks."""
        mean = np.mean([run.get(by or "", math.nan) for run in found])
        sign = 1 if by and better_direction(by) == "lower" else -1
        return sign * float(mean) if math.isfinite(mean) else math.inf

    rows = [
        [*(value for _, value in group), str(len(found)), *(_cell(found, name) for name in columns)]
        for group, found in sorted(groups.items(), key=lambda item: rank(item[1]))
    ]
    fields = [field for field, _ in next(iter(groups))]
    table = _markdown([[*fields, "runs", *map(short_name, columns)], *rows])
    if not by:
        return (
            "Nothing ranks these runs, since losses do not tell which images are better: "
            f"set evaluation.every_epochs.\n\n{table}"
        )
    best = min(results, key=lambda run_dir: rank([results[run_dir]]))
    return (
        f"Best first by {short_name(by)} ({better_direction(by)} is better): measures of each "
        "run's best evaluation, which is in best/, and its last losses. Mean +- standard "
        f"deviation over seeds.\n\n{table}\n"
        f"Best run: {best}, {short_name(by)} {results[best][by]:.4g} at step "
        f"{results[best]['step']:.0f}.\n"
    )


def _results(run_dir: str, best_by: str) -> dict[str, float]:
    """The last losses of a run, and the measures and the step of its best evaluation."""
    found: dict[str, float] = {}
    for line in read_metrics(run_dir):
        measures = quality_metrics([[line]])
        by = next((name for name in measures if _is_of(name, [best_by])), None)
        if (
            by
            and math.isfinite(line[by])
            and (by not in found or is_better(by, line[by], found[by]))
        ):
            found |= {name: line[name] for name in ("step", *measures)}
        found |= {name: line[name] for name in _LOSSES if name in line}
    return found


def _is_of(metric: str, measures: Sequence[str]) -> bool:
    """Whether a metric, such as `quality/fid_mnist64_1a2b3c4d`, is of one of these measures."""
    return short_name(metric).startswith(tuple(f"{measure}_" for measure in measures))


def _cell(found: Sequence[Mapping[str, float]], name: str) -> str:
    values = [run[name] for run in found if name in run]
    if not values:
        return "-"
    spread = f" +- {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.4g}{spread}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, the first row its head, in columns that stand under one another as text too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"| {' | '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in rows
    ]
    lines.insert(1, f"|{'|'.join('-' * (width + 1) + ':' for width in widths)}|")
    return "\n".join(lines) + "\n"
