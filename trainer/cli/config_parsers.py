"""How `--config.FIELD=VALUE` reads types that ml_collections does not, or reads differently."""

from typing import Literal

from absl import flags
from ml_collections import config_flags
from ml_collections.config_flags import tuple_parser


class TupleParser(tuple_parser.TupleParser):
    """Reads `color,cutout` and nothing at all too, where the parent wants quotes or brackets."""

    def parse(self, argument: str | tuple | None) -> tuple:
        """The items; what is no row of names is left to the parent, as `128,64` is."""
        if isinstance(argument, str):
            items = [item.strip() for item in argument.split(",")]
            if all(item.isidentifier() for item in items if item):
                return tuple(item for item in items if item)
        return super().parse(argument)


def register_parsers() -> None:
    """Lets fields be a `Literal`, which `Config.validate` checks, or a tuple of names."""
    config_flags.register_flag_parser_for_type(Literal, flags.ArgumentParser())
    config_flags.register_flag_parser_for_type(tuple, TupleParser())
