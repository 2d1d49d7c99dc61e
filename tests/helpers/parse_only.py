"""Parses command lines by the programs' own parsers, and does nothing of what they ask for.

Reads a JSON list of argument lists, each beginning with a module's name, and writes a JSON list of
what went wrong with each, empty where nothing did. Each is parsed in a process of its own, forked
from this one; those of tests/, which import TensorFlow, when this one has done so too.
"""

import argparse
import contextlib
import importlib
import json
import os
import runpy
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import ml_collections.config_flags  # noqa: F401
from absl import app, flags

import trainer.config  # noqa: F401
from launch.command_line import parse as parse_launch

_parse_args = argparse.ArgumentParser.parse_args


def _stop_after_absl(_: Any, flags_parser: Callable[..., list[str]] = flags.FLAGS) -> None:
    app.define_help_flags()
    flags_parser(sys.argv)
    if "config" in flags.FLAGS and flags.FLAGS.config is not None:
        flags.FLAGS.config.validate()
    sys.exit(0)


def _stop_after_argparse(parser: argparse.ArgumentParser, arguments: Any = None) -> None:
    _parse_args(parser, arguments)
    sys.exit(0)


def _complaint(command: list[str]) -> str:
    """What a program says of its arguments, empty if it takes them."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            _parse_and_exit(command, said)
        status = os.waitpid(child, 0)[1]
        said.seek(0)
        return f"{said.read()}(status {status})" if status else ""


def _parse_and_exit(command: list[str], said: Any) -> None:
    code: Any = 1
    try:
        sys.argv = command
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            if command[0] == "launch.main":
                parse_launch(command[1:], "")
            else:
                runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        # absl leaves --help with 1.
        code = 0 if "--help" in command else end.code
    except BaseException:
        traceback.print_exc(file=said)
    said.flush()
    os._exit(int(code or 0))


if __name__ == "__main__":
    app.run = _stop_after_absl
    argparse.ArgumentParser.parse_args = _stop_after_argparse  # type: ignore[method-assign,assignment]
    commands = json.load(sys.stdin)
    complaints = {}
    for number in sorted(range(len(commands)), key=lambda n: commands[n][0].startswith("tests.")):
        if commands[number][0].startswith("tests."):
            importlib.import_module("tests.helpers.command")
        complaints[number] = _complaint(commands[number])
    json.dump([complaints[number] for number in range(len(commands))], sys.stdout)
