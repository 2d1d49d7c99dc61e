"""What the sections of a report show, as values and texts; the templates make them HTML."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from trainer.evaluation.measure_names import better_direction, short_name
from trainer.report.charts import Chart, Series, line_chart
from trainer.report.evaluations import Score
from trainer.report.formats import DASH, number
from trainer.report.ranking import Candidate, Ranking, Spread, result_of
from trainer.report.record import Records, RunRecord
from trainer.report.seeds import Groups
from trainer.run.phases import Phase, seconds_by_phase

Fields = dict[str, list[str]]
"""The value in each group of seeds by the name of a field."""

TIME_PARTS: dict[str, tuple[Phase, ...]] = {
    "startup": ("imports", "startup", "data", "networks"),
    "first step, compiling": ("first_step",),
    "waiting for input": ("input",),
    "steps": ("steps",),
    "metrics and grids": ("logging", "grids"),
    "checkpoints": ("checkpoints",),
    "evaluation": ("evaluator", "evaluation"),
}


def state(record: RunRecord) -> str:
    """How far a run has come, and when that was."""
    changed = f"{record.changed:%Y-%m-%d %H:%M} UTC"
    step, epoch = record.newest("step"), record.newest("epoch")
    if step is None or epoch is None:
        return f"no numbers yet; started {changed}"
    wanted = record.config.train
    of_steps = f" of {wanted.steps:,}" if wanted.steps else ""
    of_epochs = "" if wanted.steps else f" of {wanted.epochs}"
    return f"step {step:,.0f}{of_steps}, epoch {epoch:.2f}{of_epochs}; newest numbers {changed}"


@dataclasses.dataclass(frozen=True)
class RankingTable:
    """Several configs, best first.

    Attributes:
        by: the measure that orders them, without the prefix of metrics.
        direction: which values of it are good.
        heads: of the columns of numbers.
        rows: colour, label and numbers of each config.
    """

    by: str
    direction: str
    heads: list[str]
    rows: list[tuple[int, str, list[Spread | None]]]


def ranking_table(groups: Groups) -> RankingTable | None:
    """Several runs in the order of what ranks the first of them; None where nothing does."""
    runs = _runs(groups)
    best_by = runs[0].config.evaluation.best_by
    candidates = [
        Candidate((group.label,), [result_of(run.name, run.metrics, best_by) for run in group.runs])
        for group in groups
    ]
    ranking = Ranking(candidates, best_by)
    if len(runs) == 1 or not ranking.by:
        return None
    colours = {group.label: colour for colour, group in enumerate(groups)}
    rows = [
        (colours[each.name[0]], each.name[0], ranking.cells(each)) for each in ranking.candidates
    ]
    return RankingTable(short_name(ranking.by), direction(ranking.by), ranking.heads, rows)


def quality_charts(groups: Groups, metrics: Sequence[str]) -> list[Chart]:
    """A chart for each metric of quality."""
    end = _last_epoch(groups)
    charts = (
        line_chart(short_name(metric), direction(metric), _by_group(groups, metric), end)
        for metric in metrics
    )
    return list(filter(None, charts))


def quality_cells(record: RunRecord, metric: str) -> list[str]:
    """The last and the best value of a metric of quality, and its floor."""
    values = [(value, epoch) for epoch, value in record.points(metric) if value is not None]
    better, best = better_direction(metric), DASH
    if better and values:
        extreme = min if better == "lower" else max
        value, epoch = extreme(values, key=lambda pair: pair[0])
        best = f"{number(value)} (epoch {epoch:.4g})"
    return [number(record.newest(metric)), best, number(record.floor.get(metric))]


def evaluations(records: Records) -> list[tuple[str, str, list[Score]]]:
    """What --mode=evaluate found: a measure, what its values compare by, and the values.

    Of one measure only those stand together that are of as many images and of the same real ones.
    What the files of two runs both have is there once.
    """
    found = dict.fromkeys(score for record in records for score in record.scores)
    compared: dict[tuple[str, int, str], list[Score]] = {}
    for score in found:
        compared.setdefault((score.measure, score.samples, score.records), []).append(score)
    has_several = len({score.records for score in found}) > 1
    listed = []
    for (measure, samples, real), scores in compared.items():
        beside = f"beside the real images {real}" if has_several else ""
        words = filter(None, [direction(measure), f"{samples:,} images", beside])
        listed.append((measure, ", ".join(words), scores))
    return listed


def direction(metric: str) -> str:
    """Which values of a metric are good, empty where that is not known."""
    better = better_direction(metric)
    return f"{better} is better" if better else ""


def loss_charts(groups: Groups) -> list[Chart]:
    """The losses, and how probably real D holds real and generated images."""
    networks = {"generator": "loss/generator", "discriminator": "loss/discriminator"}
    images = {
        "real images": "discriminator/real_probability",
        "generated images": "discriminator/fake_probability",
    }
    return [
        *_curves(groups, "Loss", "loss", networks),
        *_curves(groups, "Gradient penalty", "loss", {"penalty": "loss/penalty"}),
        *_curves(groups, "Probability of being real", "probability", images, (0.0, 1.0)),
    ]


def speed_charts(groups: Groups) -> list[Chart]:
    """Images a second."""
    metric = "speed/images_per_second"
    fastest = max((value for run in _runs(groups) for value in run.values(metric)), default=0.0)
    return _curves(groups, "Speed", "images/s", {"images/s": metric}, (0.0, fastest))


def time_parts(record: RunRecord) -> list[tuple[int, str, float, float]]:
    """Where the time of a run went: colour, name, seconds and share of each part that took any.

    Empty for a run of a version that did not count its phases.
    """
    by_phase = seconds_by_phase(record.metrics)
    if "steps" not in by_phase:
        return []
    parts = {
        name: sum(by_phase.get(phase, 0.0) for phase in phases)
        for name, phases in TIME_PARTS.items()
    }
    total = sum(parts.values())
    return [
        (colour, name, seconds, seconds / total)
        for colour, (name, seconds) in enumerate(parts.items())
        if seconds
    ]


def config_sections(groups: Groups) -> dict[str, Fields]:
    """The fields of the config by the dotted name of their section."""
    found = [
        [_sections("", dataclasses.asdict(run.config)) for run in group.runs] for group in groups
    ]
    return {name: _fields([[run[name] for run in runs] for runs in found]) for name in found[0][0]}


def environment(groups: Groups) -> Fields:
    """The versions and the machine, as far as the runs noted them."""
    return _fields([[run.environment for run in group.runs] for group in groups])


def _curves(
    groups: Groups,
    title: str,
    unit: str,
    metrics: dict[str, str],
    y_range: tuple[float, float] | None = None,
) -> list[Chart]:
    """Metrics by label: in one chart for one config, in a chart each for several."""
    if len(groups) == 1:
        labels = enumerate(metrics.items())
        lines = {title: [groups[0].series(label, i, metric) for i, (label, metric) in labels]}
    else:
        lines = {
            f"{title}: {label}" if len(metrics) > 1 else title: _by_group(groups, metric)
            for label, metric in metrics.items()
        }
    end = _last_epoch(groups)
    charts = (line_chart(title, unit, series, end, y_range) for title, series in lines.items())
    return list(filter(None, charts))


def _by_group(groups: Groups, metric: str) -> list[Series]:
    return [group.series(group.label, colour, metric) for colour, group in enumerate(groups)]


def _runs(groups: Groups) -> list[RunRecord]:
    return [run for group in groups for run in group.runs]


def _last_epoch(groups: Groups) -> float:
    epochs = (epoch for run in _runs(groups) for epoch in run.values("epoch"))
    return max(epochs, default=0.0) or 1.0


def _fields(groups: Sequence[Sequence[dict[str, Any]]]) -> Fields:
    """The value of each field in each group; where its runs differ, all their values."""
    names = dict.fromkeys(name for runs in groups for fields in runs for name in fields)
    return {
        name: [" / ".join(dict.fromkeys(_shown(run.get(name)) for run in runs)) for runs in groups]
        for name in names
    }


def _sections(prefix: str, fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Plain fields by the dotted name of their section."""
    plain = {name: value for name, value in fields.items() if not isinstance(value, dict)}
    sections = {prefix: plain} if plain else {}
    for name, value in fields.items():
        if isinstance(value, dict):
            sections |= _sections(f"{prefix}.{name}".lstrip("."), value)
    return sections


def _shown(value: Any) -> str:
    if value in (None, "", ()):
        return DASH
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
