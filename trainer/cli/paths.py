"""Paths as users give them."""

import os
import re

from absl import flags

from trainer.errors import UserError
from trainer.storage.bucket import is_gs

PRETRAINED = "pretrained:"
"""What a trained generator that comes with the package is named by, in place of a folder."""


class PathParser(flags.ArgumentParser):
    """Reads the value of a flag that is a path, or several."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        """The path as `user_path` gives it."""
        return user_path(argument)


def check_utf8(name: str) -> None:
    """Refuses a name that TensorFlow cannot hold.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"the name {name!r} is not UTF-8, in which TensorFlow takes names: rename it, or give "
            "a symbolic link to it."
        ) from None


def user_path(path: str) -> str:
    """A path with `~` expanded, local or gs://; whatever else is in its name is part of it.

    Raises:
        UserError: it is empty, of another kind of storage, in the home folder of nobody, or
            TensorFlow cannot hold its name.
    """
    if not path:
        raise UserError("it is empty: give a path, or leave it out.")
    check_utf8(path)
    # At its start alone: `runs/a,gs://bucket/b` are two paths.
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", path)
    if scheme and not is_gs(path):
        raise UserError(f"{scheme[0]} is not known here: give a local path, or gs://.")
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise UserError(
            f"{path.partition('/')[0]} is nobody's home folder here: for a path of this name, give "
            f"./{path}."
        )
    return expanded
