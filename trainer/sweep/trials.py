"""The runs of a sweep: every combination of the values, each in a folder of its own."""

import dataclasses
import functools
import itertools
import os
import re
from collections.abc import Sequence

from trainer.cli.arguments import with_values
from trainer.config import Config
from trainer.config_fields import is_field, unknown_field_message
from trainer.errors import UserError
from trainer.run.run_dir import OUTPUT

_NAME_BYTES_AT_MOST = 255


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep: its folder, its (field, value) pairs, the config they come to."""

    run_dir: str
    values: tuple[tuple[str, str], ...]
    config: Config
    epochs: int = 0
    """How many it is trained for, by a sweep that has rungs; 0: as many as the config says."""

    @property
    def candidate(self) -> tuple[str, ...]:
        """The values that it shares with the trials that differ from it in the seed alone."""
        return tuple(value for field, value in self.values if field != "seed")

    @property
    def flags(self) -> list[str]:
        """What tells the trainer this run's values."""
        rung = [("train.epochs", str(self.epochs))] if self.epochs else []
        return [
            f"--run_dir={self.run_dir}",
            *(f"--config.{field}={value}" for field, value in (*self.values, *rung)),
        ]

    @property
    def output(self) -> str:
        """Path of the file with all that the run prints."""
        return os.path.join(self.run_dir, OUTPUT)


def trials(config: Config, axes: Sequence[str], run_dir: str) -> list[Trial]:
    """Every combination of the values, each checked.

    An axis is `field=value,value,...` or, of a field that is a tuple, `field=1,2;3,4`.

    Raises:
        UserError: not of that form, no such field, a value that the field or the config does not
            take, or the same run twice.
    """
    choices = dict(_field_and_values(config, axis) for axis in axes)
    if len(choices) < len(axes):
        raise UserError("--sweep names a field twice; give all its values in one --sweep.")
    found: list[Trial] = []
    names: dict[str, str] = {}
    for combination in itertools.product(*choices.values()):
        values = tuple(zip(choices, combination, strict=True))
        parts = [f"{field}={value}" for field, value in values]
        # Commas would part the folders in --run_dir=A,B; slashes would make folders of their own.
        name, folder = " ".join(parts), re.sub(r"[^\w.+=-]+", "-", "_".join(parts))
        try:
            trial = Trial(os.path.join(run_dir, folder), values, with_values(config, values))
            trial.config.validate()
        except UserError as error:
            raise UserError(f"--sweep, {name}: {error}") from error
        check_folder_name(folder, f"--sweep, {name}")
        for key in (trial.run_dir, trial.config.to_json()):
            if key in names:
                same = f"{names[key]} and {name} come to the same run or folder"
                raise UserError(f"--sweep: {same}; drop one.")
            names[key] = name
        found.append(trial)
    return found


def check_folder_name(folder: str, of: str) -> None:
    """Raises UserError where disks do not take the name; `of` says what asks for it."""
    if (size := len(os.fsencode(folder))) > _NAME_BYTES_AT_MOST:
        raise UserError(
            f"{of}: names its folder with {size} bytes, of which disks take "
            f"{_NAME_BYTES_AT_MOST}: sweep shorter values, or give the long ones by --config."
        )


def _field_and_values(config: Config, axis: str) -> tuple[str, list[str]]:
    name, separator, text = axis.partition("=")
    field = name.removeprefix("config.")
    if field and not is_field(config, field):
        raise UserError(f"--sweep={axis}: {unknown_field_message(config, field)}")
    has_lists = bool(field) and is_tuple(config, field)
    values = [value.strip() for value in text.split(";" if has_lists else ",")]
    # A list may be empty, where its field takes that: no augmentation against some.
    if not field or not separator or not (has_lists or all(values)):
        raise UserError(f"--sweep={axis}: give FIELD=VALUE,VALUE, such as seed=1,2,3.")
    return field, values


def is_tuple(config: Config, field: str) -> bool:
    """Whether the field of this dotted name takes several values."""
    return isinstance(functools.reduce(getattr, field.split("."), config), tuple)
