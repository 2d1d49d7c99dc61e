"""One self-contained HTML page about a run, or about several side by side."""

import dataclasses
import importlib.resources
import os
import string
from html import escape

import tensorflow as tf

from trainer.errors import UserError
from trainer.report.charts import COLOURS
from trainer.report.fields import config, environment
from trainer.report.record import Records, read_run
from trainer.report.sections import (
    alarms,
    grids,
    headlines,
    losses,
    nearest,
    quality,
    throughput,
)
from trainer.storage.files import write_text

_PICTURE_BYTES = 6_000_000  # 8 MB as text; the rest of the page takes less than 2 MB
_SECTIONS = (
    headlines,
    alarms,
    grids,
    quality,
    losses,
    throughput,
    nearest,
    config,
    environment,
)


def write_report(run_dirs: list[str], output: str) -> None:
    """Writes the page.

    Args:
        run_dirs: one run directory, or several to compare, local or gs://.
        output: the HTML file.

    Raises:
        UserError: there is no run, more than a chart has colours for, one of the directories
            holds none, or the output cannot be written.
    """
    if not 1 <= len(run_dirs) <= COLOURS:
        raise UserError(
            f"{len(run_dirs)} run directories are given; a report is about 1 to {COLOURS}."
        )
    records = [read_run(run_dir, _PICTURE_BYTES // len(run_dirs)) for run_dir in run_dirs]
    if len({record.name for record in records}) < len(records):
        records = [
            dataclasses.replace(record, name=run_dir)
            for record, run_dir in zip(records, run_dirs, strict=True)
        ]
    text = page(records)
    try:
        tf.io.gfile.makedirs(os.path.dirname(output) or ".")
        write_text(output, text)
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"--output={output} cannot be written ({str(error).splitlines()[0]}); choose another."
        ) from error


def page(records: Records) -> str:
    """The HTML text of a report; a section that has nothing to show is left out."""
    names = ", ".join(record.name for record in records)
    heading = names if len(records) == 1 else f"{len(records)} runs side by side"
    template = importlib.resources.files("trainer.report").joinpath("page.html")
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(f"Report: {names}"),
        heading=escape(heading),
        sections="\n".join(part for section in _SECTIONS if (part := section(records))),
    )
