"""Dataclass fields that carry their help text, their allowed values and their resume rule.

Everything here works on any nest of dataclasses whose fields are made by `config_field`.
"""

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any, TypeVar

from trainer.errors import UserError

_SectionT = TypeVar("_SectionT")


def config_field(
    default: Any,
    help: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    changeable: bool = False,
) -> Any:
    """A dataclass field with its documentation and its allowed range.

    Args:
        default: the value where a config file and the command line are silent.
        help: one sentence for `--help`; units belong in the field's name.
        at_least, at_most, above, below: bounds of a number, or of every number
            of a tuple.
        choices: the words allowed; empty: any.
        changeable: whether a run may be resumed with another value.
    """
    bounds = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    metadata = {
        "help": help,
        "changeable": changeable,
        "choices": choices,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_fields(config: Any) -> None:
    """Checks every field of a nest of dataclasses by its own type and bounds.

    Raises:
        UserError: names the field, its value and what is allowed.
    """
    for path, field, value in _leaves(config):
        _check_type(path, field, value)
        _check_choice(path, field, value)
        for number in value if isinstance(value, tuple) else (value,):
            _check_bounds(path, field, number)


def is_field(config: Any, path: str) -> bool:
    """Whether there is a field of this dotted name, such as `train.epochs`."""
    return path in _field_paths(config)


def fields_of_name(config: Any, name: str) -> list[str]:
    """Dotted names that end in `name`, or in words of these initials: all that `lr` may be."""
    ends = {path: path.rpartition(".")[2] for path in _field_paths(config)}
    return [
        path
        for path, end in ends.items()
        if name in (end, "".join(word[0] for word in end.split("_")))
    ]


def unknown_field_message(config: Any, path: str) -> str:
    """One sentence for a field that does not exist, with the nearest that do."""
    paths = _field_paths(config)
    near = fields_of_name(config, path.rpartition(".")[2])
    near = near or difflib.get_close_matches(path, paths, n=1, cutoff=0.5)
    mend = f"did you mean {' or '.join(near)}?" if near else f"the fields are {', '.join(paths)}."
    return f"there is no config field {path}: {mend}"


def meanings(config: Any) -> dict[str, str]:
    """What each field is for, by its dotted name and default, such as `train.epochs=20`."""
    return {
        f"{path}={_shown(value)}": field.metadata["help"] for path, field, value in _leaves(config)
    }


def resume_conflicts(saved: Any, wanted: Any) -> list[str]:
    """Fields that differ and that a resumed run may not change, as readable lines."""
    return [
        f"{path}: the run has {_shown(old)}, you ask for {_shown(new)}"
        for (path, field, old), (_, _, new) in zip(_leaves(saved), _leaves(wanted), strict=True)
        if old != new and not field.metadata["changeable"]
    ]


def from_dict(section: type[_SectionT], values: dict[str, Any]) -> _SectionT:
    """Builds a nest of dataclasses from nested dicts; fields left out keep their defaults.

    Raises:
        UserError: there is no such field.
    """
    built: dict[str, Any] = {}
    fields = {field.name: field for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in fields:
            raise UserError(unknown_field_message(section(), name))
        if isinstance(value, dict):
            value = from_dict(fields[name].type, value)  # type: ignore[arg-type]
        built[name] = tuple(value) if isinstance(value, list) else value
    return section(**built)


def _leaves(section: Any, prefix: str = "") -> Iterator[tuple[str, "dataclasses.Field[Any]", Any]]:
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field, value


def _field_paths(config: Any) -> list[str]:
    return [path for path, _, _ in _leaves(config)]


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_type(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    if isinstance(field.default, tuple):
        if not value or not all(type(item) is int for item in value):
            raise UserError(f"{path} is {_shown(value)!r}; give whole numbers, such as 128,64.")
    elif isinstance(field.default, float):
        if type(value) not in (int, float):
            raise UserError(f"{path} is {value!r}; it takes a number.")
    elif type(value) is not type(field.default):
        raise UserError(f"{path} is {value!r}; it takes a {type(field.default).__name__}.")


def _check_choice(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise UserError(f"{path} is {value!r}; it must be {' or '.join(choices)}.")


def _check_bounds(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    holds = {
        "at_least": lambda bound: value >= bound,
        "at_most": lambda bound: value <= bound,
        "above": lambda bound: value > bound,
        "below": lambda bound: value < bound,
    }
    bounds = field.metadata["bounds"]
    # `all` of positive comparisons: NaN fails every one of them.
    if not all(holds[name](bound) for name, bound in bounds.items()):
        allowed = " and ".join(f"{name.replace('_', ' ')} {b}" for name, b in bounds.items())
        raise UserError(f"{path} is {value}; it must be {allowed}.")
