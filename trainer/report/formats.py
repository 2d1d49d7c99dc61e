"""How a report writes values: the filters of its templates."""

import base64
import re

from markupsafe import Markup, escape

DASH = "\N{EN DASH}"
"""Stands where there is no value."""


def number(value: float | None) -> str:
    """A number with about four digits."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def spread(values: tuple[float, float | None] | None) -> str:
    """A mean and, of several values, their standard deviation, such as `4.75 ± 1.1`."""
    if values is None:
        return DASH
    mean, deviation = values
    return (
        number(mean) if deviation is None else f"{number(mean)} \N{PLUS-MINUS SIGN} {deviation:.2g}"
    )


def percent(share: float) -> str:
    """A share of 1, such as `52.5%`."""
    return f"{100 * share:.1f}%"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def breakable(text: str) -> Markup:
    """A name, which a line may break after an underscore or a slash."""
    return Markup(re.sub(r"([_/])(?=[^_/])", r"\1<wbr>", str(escape(text))))


def base64_text(content: bytes) -> str:
    """A file as it stands in a data: address."""
    return base64.b64encode(content).decode()
