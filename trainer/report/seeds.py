"""Runs that differ in the seed alone, as one curve: their mean, and from lowest to highest."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

from trainer.report.charts import Point, Series
from trainer.report.record import Records, RunRecord


@dataclasses.dataclass(frozen=True)
class SeedGroup:
    """One or more runs of one config, no two of the same seed.

    Attributes:
        label: the name of a single run; of several, what their names share, such as `mnist_*`.
        runs: in the order that they were given.
    """

    label: str
    runs: Records

    def series(self, label: str, colour: int, metric: str) -> Series:
        """A metric as one line of a chart: where several runs have it, their mean and spread."""
        of_runs = [points for run in self.runs if (points := run.points(metric))]
        floor = next((run.floor[metric] for run in self.runs if metric in run.floor), None)
        if len(of_runs) < 2:
            return Series(label, colour, of_runs[0] if of_runs else [], floor)
        points, spread = averaged(of_runs)
        return Series(label, colour, points, floor, spread, of_runs)


Groups = Sequence[SeedGroup]


def by_seed(records: Records) -> list[SeedGroup]:
    """Groups runs, in the order of the first of each.

    Runs of one config of which two have the same seed differ in something that no config says:
    each stays by itself.
    """
    found: dict[str, list[RunRecord]] = {}
    for record in records:
        key = dataclasses.replace(record.config, seed=0).to_json()
        found.setdefault(key, []).append(record)
    groups: list[list[RunRecord]] = []
    for runs in found.values():
        are_seeds = len({run.config.seed for run in runs}) == len(runs)
        groups += [runs] if are_seeds else [[run] for run in runs]
    names = [[run.name for run in runs] for runs in groups]
    labels = [_label(each) for each in names]
    labels = [
        label if labels.count(label) == 1 else ", ".join(each)
        for label, each in zip(labels, names, strict=True)
    ]
    return [SeedGroup(label, runs) for label, runs in zip(labels, groups, strict=True)]


def averaged(
    of_runs: Sequence[Sequence[Point]],
) -> tuple[list[Point], Mapping[float, tuple[float, float]]]:
    """The mean of several runs, and the lowest and highest value, by epoch.

    Only of epochs that all have: with fewer runs the mean would jump. A run without a value there
    leaves a gap in the mean.
    """
    by_epoch = [dict(points) for points in of_runs]
    points: list[Point] = []
    spread: dict[float, tuple[float, float]] = {}
    for epoch in by_epoch[0]:
        if not all(epoch in run for run in by_epoch):
            continue
        values = [value for run in by_epoch if (value := run[epoch]) is not None]
        is_whole = len(values) == len(by_epoch)
        points.append((epoch, sum(values) / len(values) if is_whole else None))
        if is_whole:
            spread[epoch] = (min(values), max(values))
    return points, spread


def _label(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    prefix = _shared_start(names)
    suffix = _shared_start([name.removeprefix(prefix)[::-1] for name in names])[::-1]
    if not re.search(r"\w", prefix + suffix):
        return ", ".join(names)
    return f"{prefix}*{suffix} ({len(names)} seeds)"


def _shared_start(names: Sequence[str]) -> str:
    columns = zip(*names, strict=False)
    return "".join(column[0] for column in itertools.takewhile(lambda c: len({*c}) == 1, columns))
