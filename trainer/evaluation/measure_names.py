"""What the names of measures say: their order, and which direction is better."""

import re
from collections.abc import Iterable
from typing import Any

_PREFIX = "quality/"
_BETTER = {
    "fid": "lower",
    "kid": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "classifier_score": "higher",
    "modes": "higher",
    "class_kl": "lower",
    "label_accuracy": "higher",
    "near_duplicates": "lower",
    "memorised": "lower",
}


def quality_metrics(runs: Iterable[list[dict[str, Any]]]) -> list[str]:
    """The metrics of quality in the lines of some runs: known ones first, in a fixed order."""
    names = {name for lines in runs for line in lines for name in line}
    words = list(_BETTER)
    return sorted(
        (name for name in names if name.startswith(_PREFIX)),
        key=lambda name: (words.index(word) if (word := _word(name)) else len(words), name),
    )


def better_direction(metric: str) -> str | None:
    """`lower` or `higher`, None for a metric that is not known here."""
    word = _word(metric)
    return _BETTER[word] if word else None


def short_name(metric: str) -> str:
    """`fid` of `quality/fid`."""
    return metric.removeprefix(_PREFIX)


def _word(metric: str) -> str | None:
    """The word of `_BETTER` that a metric's name begins with."""
    return next((w for w in _BETTER if re.match(rf"{w}(?![a-z])", short_name(metric))), None)
