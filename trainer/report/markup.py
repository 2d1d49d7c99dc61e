"""Pieces of HTML that a report is made of. Texts are escaped here, `*_html` arguments are not."""

import base64
import re
from collections.abc import Collection, Sequence
from html import escape

DASH = "\N{EN DASH}"
"""Stands where there is no value."""


def number(value: float | None) -> str:
    """A number with about four digits."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def name_html(text: str) -> str:
    """A name, which a line may break after an underscore or a slash."""
    return re.sub(r"([_/])(?=[^_/])", r"\1<wbr>", escape(text))


def section(title: str, content_html: str, note: str = "") -> str:
    """A headed part of the page; empty where there is no content."""
    if not content_html:
        return ""
    below = f"<p class='note'>{escape(note)}</p>" if note else ""
    return f"<section><h2>{escape(title)}</h2>{below}{content_html}</section>"


def columns(items_html: str) -> str:
    """Cards side by side, as many as the window is wide enough for."""
    return f"<div class='columns'>{items_html}</div>" if items_html else ""


def card(content_html: str, kind: str = "") -> str:
    """A framed part; `kind` is a class of the style sheet."""
    return f"<div class='{f'card {kind}'.strip()}'>{content_html}</div>"


def swatch(colour: int) -> str:
    """A small patch of a colour, to stand before a name."""
    # The word joiner keeps it on the line of the name.
    return f"<i class='swatch c{colour}'></i>&#8288;"


def table(
    head: Sequence[str], rows_html: Sequence[Sequence[str]], marked: Collection[int] = ()
) -> str:
    """A table whose rows begin with their name.

    Args:
        head: names of the columns.
        rows_html: the cells; a row of one cell heads the rows below it.
        marked: rows that stand out.
    """
    headings = "".join(f"<th scope='col'>{name_html(name)}</th>" for name in head)
    lines = []
    for index, (name, *cells) in enumerate(rows_html):
        kind = " class='differs'" if index in marked else ""
        values = "".join(f"<td>{cell}</td>" for cell in cells)
        if cells:
            lines.append(f"<tr{kind}><th scope='row'>{name}</th>{values}</tr>")
        else:
            group = f"<th scope='rowgroup' colspan='{len(head)}'>{name}</th>"
            lines.append(f"</tbody><tbody><tr>{group}</tr>")
    return f"<table><thead><tr>{headings}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def image(content: bytes, kind: str, description: str, attributes: str = "") -> str:
    """A picture inside the page.

    Args:
        content: the file.
        kind: `png` or `gif`.
        description: for those who do not see it.
        attributes: further ones of the element.
    """
    data = base64.b64encode(content).decode()
    return f"<img src='data:image/{kind};base64,{data}' alt='{escape(description)}'{attributes}>"
