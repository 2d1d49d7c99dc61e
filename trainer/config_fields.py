"""Dataclass fields that carry their help text, their allowed values and their resume rule.

Everything here works on any nest of dataclasses whose fields are made by `config_field`.
"""

import dataclasses
import difflib
import operator
from collections.abc import Iterator
from typing import Any, TypeVar, get_args, get_origin

from trainer.errors import UserError

_SectionT = TypeVar("_SectionT")
_HOLDS = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}
# TensorFlow takes whole numbers as int32 and computes in float32.
_LARGEST: dict[Any, float] = {int: 2**31 - 1, float: 3.4e38}
_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}


class Section:
    """A part of a config: takes values for the fields that it has, and for no others."""

    def __setattr__(self, name: str, value: Any) -> None:
        fields = {field.name: field for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]}?" if near else f"its fields are {', '.join(fields)}."
            raise UserError(f"{type(self).__name__} has no field {name}: {mend}")
        if isinstance(value, bool) and "true" in _names(fields[name]):
            # As config files of earlier versions have it, and all that JSON kept of them.
            value = str(value).lower()
        object.__setattr__(self, name, value)


def config_field(
    default: Any,
    help: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    changeable: bool = False,
) -> Any:
    """A dataclass field with its documentation and its allowed range.

    The field's type says the rest: int, float, bool, str, a `Literal` of the names allowed, or a
    tuple of int or `Literal`.

    Args:
        default: the value where a config file and the command line are silent.
        help: one sentence for `--help`; units belong in the field's name.
        at_least, at_most, above, below: bounds of a number, or of every number
            of a tuple; no number is larger than int32 or float32 holds.
        changeable: whether a run may be resumed with another value.
    """
    bounds = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    metadata = {
        "help": help,
        "changeable": changeable,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
    }
    return dataclasses.field(default=default, metadata=metadata)


def own_sections(section: _SectionT, prefix: str = "") -> _SectionT:
    """A copy in which no two sections are the same object, as a config file may leave them.

    Raises:
        UserError: a field is missing, or something else is in place of a section.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(section):  # type: ignore[arg-type]
        path = f"{prefix}{field.name}"
        # Not `hasattr`: the class has the defaults.
        if field.name not in vars(section):
            raise UserError(f"{path} was deleted; a config has all its fields.")
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(field.type):
            if type(value) is not field.type:
                kind = field.type.__name__  # type: ignore[union-attr]
                raise UserError(f"{path} is {value!r}; it takes a {kind}.")
            value = own_sections(value, f"{path}.")
        values[field.name] = value
    return dataclasses.replace(section, **values)  # type: ignore[type-var]


def check_fields(config: Any) -> None:
    """Checks every field of a nest of dataclasses by its own type and bounds.

    Raises:
        UserError: names the field, its value and what is allowed.
    """
    for path, field, value in _leaves(config):
        _check_type(path, field, value)
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
    near = [each for each in paths if each.startswith(f"{path}.")][:3]
    near = near or fields_of_name(config, path.rpartition(".")[2])
    near = near or difflib.get_close_matches(path, paths, n=1, cutoff=0.5)
    mend = f"did you mean {' or '.join(near)}?" if near else f"the fields are {', '.join(paths)}."
    return f"there is no config field {path}: {mend}"


def meanings(config: Any) -> dict[str, str]:
    """What each field is for, by its dotted name and default, such as `train.epochs=20`."""
    return {f"{path}={_shown(value)}": _help(field) for path, field, value in _leaves(config)}


def resume_conflicts(saved: Any, wanted: Any) -> list[str]:
    """Fields that differ and that a resumed run may not change, as readable lines."""
    return [
        f"{path}: the run has {_shown(old) or 'nothing'}, you ask for {_shown(new) or 'nothing'}"
        for (path, field, old), (_, _, new) in zip(_leaves(saved), _leaves(wanted), strict=True)
        if old != new and not field.metadata["changeable"]
    ]


def from_dict(section: type[_SectionT], values: dict[str, Any]) -> _SectionT:
    """Builds a nest of dataclasses from nested dicts; fields left out keep their defaults.

    Raises:
        UserError: there is no such field.
    """
    built: dict[str, Any] = {}
    types: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in types:
            raise UserError(unknown_field_message(section(), name))
        if dataclasses.is_dataclass(types[name]):
            if not isinstance(value, dict):
                raise UserError(f"{name} is {value!r}; it takes the fields of a section.")
            value = from_dict(types[name], value)
        elif get_origin(types[name]) is tuple:
            if isinstance(value, str):
                # Earlier versions wrote names as one text, such as "color,cutout".
                value = [name.strip() for name in value.split(",") if name.strip()]
            value = tuple(value)
        built[name] = value
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


def _help(field: "dataclasses.Field[Any]") -> str:
    text, allowed = field.metadata["help"], _allowed(field)
    return f"{text} {allowed[0].upper()}{allowed[1:]}." if _names(field) else text


def _names(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """What a field, or each item of its tuple, chooses from; empty: not from names."""
    return get_args(_item_type(field))


def _item_type(field: "dataclasses.Field[Any]") -> Any:
    return get_args(field.type)[0] if get_origin(field.type) is tuple else field.type


def _allowed(field: "dataclasses.Field[Any]") -> str:
    """What a field takes, its bounds aside."""
    names = _names(field)
    if get_origin(field.type) is tuple:
        return f"some of {','.join(names)}" if names else "whole numbers, such as 128,64"
    return f"one of {', '.join(names)}" if names else _KINDS[field.type]


def _check_type(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    items = value if get_origin(field.type) is tuple else (value,)
    types = (int, float) if field.type is float else (_item_type(field),)
    names = _names(field)
    fits = isinstance(items, tuple) and all(
        item in names if names else type(item) in types for item in items
    )
    if not fits or not (items or names):
        shown = _shown(value) if isinstance(value, tuple) else value
        kind = "a tuple of " if get_origin(field.type) is tuple else ""
        raise UserError(f"{path} is {shown!r}; it takes {kind}{_allowed(field)}.")


def _check_bounds(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    bounds = field.metadata["bounds"]
    if _item_type(field) in _LARGEST and not {"at_most", "below"} & bounds.keys():
        bounds = bounds | {"at_most": _LARGEST[_item_type(field)]}
    # `all` of positive comparisons: NaN fails every one of them.
    if not all(_HOLDS[name](value, bound) for name, bound in bounds.items()):
        allowed = " and ".join(f"{name.replace('_', ' ')} {b}" for name, b in bounds.items())
        raise UserError(f"{path} is {value}; it must be {allowed}.")
