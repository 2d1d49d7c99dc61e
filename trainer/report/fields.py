"""The sections of a report that list fields: config and environment."""

import dataclasses
from collections.abc import Sequence
from html import escape
from typing import Any

from trainer.report.markup import DASH, card, name_html, section, table
from trainer.report.record import Records


def config(records: Records) -> str:
    """The config by section; with several runs, the fields that differ stand out."""
    groups = [_groups("", dataclasses.asdict(record.config)) for record in records]
    cards = [
        card(f"<h3>{escape(name or 'run')}</h3>{_fields(records, [run[name] for run in groups])}")
        for name in groups[0]
    ]
    side_by_side = "masonry" if len(records) == 1 else "stack"
    return section("Config", f"<div class='{side_by_side}'>{''.join(cards)}</div>")


def environment(records: Records) -> str:
    """The versions and the machine, as far as the runs noted them."""
    found = [record.environment for record in records]
    return section("Environment", card(_fields(records, found)) if any(found) else "")


def _fields(records: Records, values: Sequence[dict[str, Any]]) -> str:
    """A table of fields, a column for each run."""
    names = list(dict.fromkeys(name for fields in values for name in fields))
    shown = [[_shown(fields.get(name)) for fields in values] for name in names]
    rows = [[name_html(name), *map(name_html, row)] for name, row in zip(names, shown, strict=True)]
    head = ["field", *([record.name for record in records] if len(records) > 1 else ["value"])]
    return table(head, rows, marked=[i for i, row in enumerate(shown) if len(set(row)) > 1])


def _groups(prefix: str, fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Plain fields by the dotted name of their section."""
    plain = {name: value for name, value in fields.items() if not isinstance(value, dict)}
    groups = {prefix: plain} if plain else {}
    for name, value in fields.items():
        if isinstance(value, dict):
            groups |= _groups(f"{prefix}.{name}".lstrip("."), value)
    return groups


def _shown(value: Any) -> str:
    if value is None or value == "":
        return DASH
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
