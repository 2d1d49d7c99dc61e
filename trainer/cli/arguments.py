"""Command lines that a command makes for others, or reads in place of its own."""

import copy
from collections.abc import Sequence
from typing import TypeVar

from absl import flags
from ml_collections import config_flags

from trainer.cli.config_parsers import register_parsers
from trainer.errors import UserError

_ConfigT = TypeVar("_ConfigT")


def with_values(config: _ConfigT, values: Sequence[tuple[str, str]]) -> _ConfigT:
    """A copy of a config with (field, text) values, read as `--config.FIELD=TEXT` reads them.

    Raises:
        UserError: a text that its field cannot take; what it takes is not validated.
    """
    register_parsers()
    arguments = ["", *(f"--config.{field}={text}" for field, text in values)]
    parser = flags.FlagValues()
    changed = config_flags.DEFINE_config_dataclass(
        "config", copy.deepcopy(config), flag_values=parser, sys_argv=arguments
    )
    try:
        parser(arguments)
    except flags.Error as error:
        raise UserError(str(error).replace("\n", r"\n")) from error
    return changed.value


def flags_without(arguments: Sequence[str], names: tuple[str, ...]) -> list[str]:
    """Command-line arguments without some flags, written `--flag=value` or `--flag value`."""
    kept, skips_value = [], False
    for argument in arguments:
        name, separator, _ = argument.lstrip("-").partition("=")
        if skips_value or name in names:
            skips_value = not skips_value and not separator
        else:
            kept.append(argument)
    return kept
