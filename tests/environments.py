"""The tiny training under one odd environment after the other.

  python -m tests.environments

trains five steps in a plain environment and in each of `tests/helpers/environments.py`, and
compares every variable, every grid and every loss. Exit code 0: all had the same bits, and where
fast mathematics was asked for, which changes them, environment.json says so.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.helpers.command import Command, assert_same_run, command_on_20_images
from tests.helpers.environments import OTHER_BITS, Environment, environments


def differs(command: Command, name: str, environment: Environment) -> str:
    """What an environment changes in a run; empty where the bits are the same."""
    process = command.start(run=name, **environment)
    output = process.communicate(timeout=600)[0]
    if process.returncode:
        return f"exit code {process.returncode}: {output.splitlines()[-1:]}"
    try:
        assert_same_run(command.folder / "plain", command.folder / name, 5)
    except AssertionError as error:
        return str(error).strip().splitlines()[0]
    return ""


def main() -> int:
    """Runs the table in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = command_on_20_images(Path(folder), xla=True)
        command.finish(run="plain")
        found = {}
        for name, environment in environments(command.folder).items():
            found[name] = differs(command, name, environment)
            print(f"{name}: {found[name] or 'the same bits'}", flush=True)
        changed = differs(command, "fast", OTHER_BITS)
        told = json.loads((command.folder / "fast/environment.json").read_text())["settings"]
        print(f"fast mathematics: {changed or 'the same bits'}; told: {told}")
    return any(found.values()) or "fast_math" not in told


if __name__ == "__main__":
    sys.exit(main())
