"""The sections of a report: functions from runs to HTML, empty where there is nothing to show."""

from collections.abc import Sequence
from html import escape

from trainer.evaluation.measure_names import better_direction, quality_metrics, short_name
from trainer.report.charts import Series, line_chart, stacked_bar
from trainer.report.markup import (
    DASH,
    card,
    columns,
    duration,
    image,
    name_html,
    number,
    section,
    swatch,
    table,
)
from trainer.report.record import Records, RunRecord


def headlines(records: Records) -> str:
    """A card for each run: its state and its newest numbers."""
    cards = []
    for index, record in enumerate(records):
        numbers = {
            "generator loss": record.newest("loss/generator"),
            "discriminator loss": record.newest("loss/discriminator"),
            "images/s, median": record.median("speed/images_per_second"),
            **{
                short_name(metric): record.newest(metric)
                for metric in quality_metrics([record.metrics])
            },
        }
        tiles = "".join(
            f"<div><dt>{name_html(name)}</dt><dd>{number(value)}</dd></div>"
            for name, value in numbers.items()
            if value is not None
        )
        heading = "".join(_if_several(records, f"<h3>{_name(index, record)}</h3>"))
        listed = f"<dl class='numbers'>{tiles}</dl>" if tiles else ""
        cards.append(card(f"{heading}<p>{escape(_state(record))}</p>{listed}"))
    return section("At a glance", "".join(cards))


def alarms(records: Records) -> str:
    """What a run found wrong with itself."""
    rows = [
        [f"{line['step']:,}", *_if_several(records, _name(index, record)), escape(line["alarm"])]
        for index, record in enumerate(records)
        for line in record.metrics
        if isinstance(line.get("alarm"), str)
    ]
    head = ["step", *_if_several(records, "run"), "alarm"]
    return section("Alarms", card(table(head, rows), "alarms") if rows else "")


def grids(records: Records) -> str:
    """Images of the same latents by epoch, all runs on one slider, and the timelapses."""
    epochs = sorted({epoch for record in records for epoch in record.grids})
    slider = ""
    if len(epochs) > 1:
        last = len(epochs) - 1
        slider = (
            "<div class='slider'><label for='epoch'>Epoch</label>"
            f"<input type='range' id='epoch' min='0' max='{last}' value='{last}' "
            f"autocomplete='off' data-epochs='{epochs}'>"
            f"<output id='epoch-shown' for='epoch'>epoch {epochs[-1]}</output></div>"
        )
    figures = "".join(_grid_figure(records, index) for index in range(len(records)))
    too_large = "".join(
        f"<p class='note'>{escape(record.name)}: too large for this page, look into the run "
        f"directory: {escape(', '.join(record.too_large))}.</p>"
        for record in records
        if record.too_large
    )
    return section(
        "Images by epoch",
        slider + columns(figures) + too_large,
        "The same latents after each epoch.",
    )


def quality(records: Records) -> str:
    """A chart for each metric of quality, and a table of the last and the best values."""
    metrics = quality_metrics(record.metrics for record in records)
    if not metrics:
        return section(
            "Quality",
            "<p>There are no numbers yet; <code>--config.evaluation.every_epochs=1</code> measures "
            "quality after every epoch.</p>",
        )
    charts = "".join(
        line_chart(
            short_name(metric),
            _direction(metric),
            [
                Series(record.name, index, record.points(metric), record.floor.get(metric))
                for index, record in enumerate(records)
            ],
            _last_epoch(records),
        )
        for metric in metrics
    )
    note = "The floor is what real images reach against other real images."
    has_floor = any(record.floor for record in records)
    content = columns(charts) + card(_quality_table(records, metrics), "values")
    return section("Quality", content, note if has_floor else "")


def losses(records: Records) -> str:
    """The losses, and how probably real D holds real and generated images."""
    networks = {"generator": "loss/generator", "discriminator": "loss/discriminator"}
    images = {
        "real images": "discriminator/real_probability",
        "generated images": "discriminator/fake_probability",
    }
    charts = (
        _curves(records, "Loss", "loss", networks)
        + _curves(records, "Gradient penalty", "loss", {"penalty": "loss/penalty"})
        + _curves(records, "Probability of being real", "probability", images, (0.0, 1.0))
    )
    note = (
        "Where D gives real and generated images the same probability, it cannot tell them apart."
    )
    return section("Losses", columns(charts), note)


def throughput(records: Records) -> str:
    """Images a second, and where the time went."""
    metric = "speed/images_per_second"
    fastest = max((value for record in records for value in record.values(metric)), default=0.0)
    charts = _curves(records, "Speed", "images/s", {"images/s": metric}, (0.0, fastest))
    cards = "".join(_time_card(records, index) for index in range(len(records)))
    return section(
        "Throughput", columns(charts + cards), "Steps include writing checkpoints and grids."
    )


def nearest(records: Records) -> str:
    """Generated images beside the training images nearest to them."""
    figures = []
    for index, record in enumerate(records):
        if record.nearest:
            name = "".join(_if_several(records, f"{_name(index, record)}: "))
            description = f"{record.name}: generated images and their nearest training images"
            figures.append(
                f"<figure class='nearest'><figcaption>{name}pairs of a generated image and the "
                "training image nearest to it</figcaption>"
                f"{image(record.nearest, 'png', description)}</figure>"
            )
    stack = f"<div class='stack'>{''.join(figures)}</div>" if figures else ""
    return section("Nearest training images", stack)


def _state(record: RunRecord) -> str:
    step, epoch = record.newest("step"), record.newest("epoch")
    if step is None or epoch is None:
        return f"no numbers yet; started {record.changed:%Y-%m-%d %H:%M} UTC"
    wanted = record.config.train
    of_steps = f" of {wanted.steps:,}" if wanted.steps else ""
    of_epochs = "" if wanted.steps else f" of {wanted.epochs}"
    return (
        f"step {step:,.0f}{of_steps}, epoch {epoch:.2f}{of_epochs}; "
        f"newest numbers {record.changed:%Y-%m-%d %H:%M} UTC"
    )


def _grid_figure(records: Records, index: int) -> str:
    record = records[index]
    if not record.grids and not record.timelapse:
        return ""
    newest = max(record.grids, default=0)
    images = "".join(
        image(
            content,
            "png",
            f"{record.name}: generated images after epoch {epoch}",
            f" data-epoch='{epoch}'{'' if epoch == newest else ' hidden'}",
        )
        for epoch, content in record.grids.items()
    )
    name = "".join(_if_several(records, f"{_name(index, record)} "))
    shown = f"<span class='shown'>epoch {newest}</span>" if images else ""
    timelapse = ""
    if record.timelapse:
        picture = image(record.timelapse, "gif", f"{record.name}: the grids of all epochs in turn")
        timelapse = f"<details><summary>Timelapse</summary>{picture}</details>"
    kind = "grids" if images else "timelapse"
    return (
        f"<figure class='{kind}'><figcaption>{name}{shown}</figcaption>{images}{timelapse}</figure>"
    )


def _quality_table(records: Records, metrics: Sequence[str]) -> str:
    """Last, best and floor, a row for each metric, or for each run below it if several."""
    rows = []
    for metric in metrics:
        name = f"{name_html(short_name(metric))} <small>{_direction(metric)}</small>"
        rows += [[cell] for cell in _if_several(records, name)]
        rows += [
            [_name(index, record) if len(records) > 1 else name, *_quality_cells(record, metric)]
            for index, record in enumerate(records)
            if record.points(metric)
        ]
    return table(["run" if len(records) > 1 else "metric", "last", "best", "floor"], rows)


def _quality_cells(record: RunRecord, metric: str) -> list[str]:
    values = [(value, epoch) for epoch, value in record.points(metric) if value is not None]
    better, best = better_direction(metric), DASH
    if better and values:
        extreme = min if better == "lower" else max
        value, epoch = extreme(values, key=lambda pair: pair[0])
        best = f"{number(value)} (epoch {epoch:.4g})"
    return [number(record.newest(metric)), best, number(record.floor.get(metric))]


def _direction(metric: str) -> str:
    better = better_direction(metric)
    return f"{better} is better" if better else ""


def _curves(
    records: Records,
    title: str,
    unit: str,
    metrics: dict[str, str],
    y_range: tuple[float, float] | None = None,
) -> str:
    """Metrics by label: in one chart for one run, in a chart each for several."""
    end = _last_epoch(records)
    if len(records) == 1:
        lines = [
            Series(label, index, records[0].points(metric))
            for index, (label, metric) in enumerate(metrics.items())
        ]
        return line_chart(title, unit, lines, end, y_range)
    return "".join(
        line_chart(
            f"{title}: {label}" if len(metrics) > 1 else title,
            unit,
            [Series(run.name, index, run.points(metric)) for index, run in enumerate(records)],
            end,
            y_range,
        )
        for label, metric in metrics.items()
    )


def _time_card(records: Records, index: int) -> str:
    parts = records[index].seconds()
    total = sum(parts.values())
    if not total:
        return ""
    rows = [
        [swatch(colour) + escape(name), duration(seconds), f"{100 * seconds / total:.1f}%"]
        for colour, (name, seconds) in enumerate(parts.items())
        if seconds
    ]
    title = "Where the time went"
    return card(
        f"<h3>{title}</h3>{''.join(_if_several(records, _name(index, records[index])))}"
        f"{stacked_bar(parts, title)}{table(['part', 'time', 'share'], rows)}"
    )


def _last_epoch(records: Records) -> float:
    return max((epoch for run in records for epoch in run.values("epoch")), default=0.0) or 1.0


def _name(index: int, record: RunRecord) -> str:
    return f"{swatch(index)}{name_html(record.name)}"


def _if_several(records: Records, text: str) -> list[str]:
    """The text where there are runs to tell apart."""
    return [text] if len(records) > 1 else []
