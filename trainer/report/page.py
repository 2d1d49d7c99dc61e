"""One self-contained HTML page about a run, or about several side by side."""

import base64
import dataclasses
import hashlib
import os

import jinja2
import tensorflow as tf
from markupsafe import Markup

from trainer.errors import UserError
from trainer.evaluation.measure_names import quality_metrics, short_name
from trainer.report import sections
from trainer.report.charts import COLOURS
from trainer.report.formats import base64_text, breakable, duration, number, percent, spread
from trainer.report.record import read_run
from trainer.report.seeds import Groups, by_seed
from trainer.storage.files import naming_the_output, write_text

_PICTURE_BYTES = 6_000_000  # 8 MB as text; the rest of the page takes less than 2 MB

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("trainer.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FILTERS = (
    *(base64_text, breakable, duration, number, percent, short_name, spread),
    *(sections.direction, sections.quality_cells, sections.state, sections.time_parts),
)
_TEMPLATES.filters |= {function.__name__: function for function in _FILTERS}


def write_report(run_dirs: list[str], output: str) -> None:
    """Writes an HTML page about one run directory, or several to compare, local or gs://.

    Raises:
        UserError: there is no run, more configs than a chart has colours for, one of the
            directories holds none, or the output cannot be written.
        DiskError: the disk refuses the output.
    """
    records = [read_run(run_dir, _PICTURE_BYTES // len(run_dirs)) for run_dir in run_dirs]
    if len({record.name for record in records}) < len(records):
        records = [
            dataclasses.replace(record, name=run_dir)
            for record, run_dir in zip(records, run_dirs, strict=True)
        ]
    groups = by_seed(records)
    if not 1 <= len(groups) <= COLOURS:
        raise UserError(
            f"{len(records)} run directories with {len(groups)} configs are given; a report tells "
            f"1 to {COLOURS} apart, of which each may have any number of seeds."
        )
    text = page(groups)
    with naming_the_output(output, "--output"):
        tf.io.gfile.makedirs(os.path.dirname(output) or ".")
        write_text(output, text)


def page(groups: Groups) -> str:
    """The HTML text of a report; a section that has nothing to show is left out."""
    records = [run for group in groups for run in group.runs]
    metrics = quality_metrics(record.metrics for record in records)
    style, script = (_TEMPLATES.get_template(name).render() for name in ("style.css", "slider.js"))
    return _TEMPLATES.get_template("page.html").render(
        runs=[(colour, run) for colour, group in enumerate(groups) for run in group.runs],
        labels=[group.label for group in groups],
        several=len(records) > 1,
        has_seeds=len(groups) < len(records),
        epochs=sorted({epoch for record in records for epoch in record.grids}),
        ranking=sections.ranking_table(groups),
        metrics=metrics,
        has_floor=bool(metrics) and any(record.floor for record in records),
        evaluations=sections.evaluations(records),
        quality_charts=sections.quality_charts(groups, metrics),
        loss_charts=sections.loss_charts(groups),
        speed_charts=sections.speed_charts(groups),
        config=sections.config_sections(groups),
        environment=sections.environment(groups),
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src {_source(style)}; "
        f"script-src {_source(script)}; base-uri 'none'; form-action 'none'",
    )


def _source(text: str) -> str:
    """An inline text as a Content-Security-Policy names it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
