"""Runs in order of a measure: what each came to, with mean and spread over the seeds."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.evaluation.evaluate import is_better
from trainer.evaluation.measure_names import better_direction, quality_metrics, short_name

Numbers = Mapping[str, float]
"""Values by the name of their metric, with `step` and `epoch`."""

Spread = tuple[float, float | None]
"""The mean over seeds and their standard deviation (of n - 1), None where they do not differ or one
is not finite."""

_MEASURES = ("fid", "coverage", "class_kl")
_LOSSES = ("loss/generator", "loss/discriminator")


@dataclasses.dataclass(frozen=True)
class Result:
    """What the numbers of one run come to.

    Attributes:
        run: its directory or name.
        last: the measures, step and epoch of the last evaluation, which in a run that has ended
            is of its last checkpoint; and the last losses.
        best: the same measures, step and epoch of the best evaluation; empty where none has a
            finite value of what ranks.
    """

    run: str
    last: Numbers
    best: Numbers


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Runs that differ in the seed alone, of which there is at least one.

    Attributes:
        name: what sets it apart from the others, a text for each column about that.
        results: one for each run.
        rung: the greater, the further up it stands, whatever its measure.
    """

    name: tuple[str, ...]
    results: Sequence[Result]
    rung: int = 0


def result_of(
    run: str, lines: Sequence[Mapping[str, Any]], best_by: str, epochs: int = 0
) -> Result:
    """Finds the last and the best evaluation in the lines of a run's metrics.

    Args:
        run: its directory or name.
        lines: of metrics.jsonl, in their order.
        best_by: a measure without its extractor, such as `fid`.
        epochs: looks no further than to the first evaluation at this epoch or later; 0: at all.
    """
    last: dict[str, float] = {}
    best: dict[str, float] = {}
    for line in lines:
        last |= _values(line, [name for name in _LOSSES if name in line])
        if not (measures := quality_metrics([[dict(line)]])):
            continue
        found = _values(line, ["step", "epoch", *measures])
        last |= found
        by = _metric_of(best_by, measures)
        if math.isfinite(found.get(by, math.nan)) and (
            by not in best or is_better(by, found[by], best[by])
        ):
            best = found
        if epochs and line["epoch"] >= epochs:
            break
    return Result(run, last, best)


class Ranking:
    """Candidates, best first by the mean over seeds of their last evaluation.

    Attributes:
        by: the metric that ranks, such as `quality/fid_mnist64_1a2b3c4d`; empty where no run was
            evaluated by that measure.
        candidates: in their order; one of which a run lacks a finite value comes last.
        heads: names of the columns of numbers.
    """

    def __init__(self, candidates: Sequence[Candidate], best_by: str) -> None:
        """`best_by`: a measure without its extractor, such as `fid`."""
        last = [dict(result.last) for each in candidates for result in each.results]
        measures = quality_metrics([last])
        self.by = _metric_of(best_by, measures)
        self.candidates = sorted(
            candidates, key=lambda each: (-each.rung, self.score(each.results))
        )
        shown = [name for name in measures if name == self.by or _is_of(name, _MEASURES)]
        self._before = ["epoch", *shown] if measures else []
        best = [f"best {short_name(self.by)}"] if self.by else []
        self.heads = [*map(short_name, self._before), *best, *_LOSSES]

    def score(self, results: Sequence[Result]) -> float:
        """What orders runs, the smaller the better; infinite where nothing ranks."""
        mean = float(np.mean([result.last.get(self.by, math.nan) for result in results]))
        sign = 1 if better_direction(self.by) == "lower" else -1
        return sign * mean if math.isfinite(mean) else math.inf

    def cells(self, candidate: Candidate) -> list[Spread | None]:
        """The columns of numbers; None where no run has the value."""
        last = [result.last for result in candidate.results]
        best = [result.best for result in candidate.results]
        return [
            *(_spread(last, name) for name in self._before),
            *([_spread(best, self.by)] if self.by else []),
            *(_spread(last, name) for name in _LOSSES),
        ]


def _metric_of(measure: str, metrics: Sequence[str]) -> str:
    """The first metric of a measure, such as `quality/fid_mnist64_1a2b3c4d` of `fid`, or empty."""
    return next((name for name in metrics if _is_of(name, [measure])), "")


def _is_of(metric: str, measures: Sequence[str]) -> bool:
    return short_name(metric).startswith(tuple(f"{measure}_" for measure in measures))


def _values(line: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    return {name: math.nan if line[name] is None else float(line[name]) for name in names}


def _spread(numbers: Sequence[Numbers], name: str) -> Spread | None:
    values = [each[name] for each in numbers if name in each]
    if not values:
        return None
    differ = len({*values}) > 1 and all(map(math.isfinite, values))
    return float(np.mean(values)), float(np.std(values, ddof=1)) if differ else None
