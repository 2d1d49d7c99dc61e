"""Command lines of modules, as users start them."""

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

from tests.helpers.warm_start import WarmProgram

Done = subprocess.CompletedProcess[str]


def run_python(*arguments: str, cwd: Path | None = None, **environment: str) -> Done:
    """A process of its own, which finds our code from any folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.getcwd()} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run_module(module: str, *flags: str) -> Done:
    if not module.startswith("trainer."):
        return run_python("-m", module, *flags)
    command = [sys.executable, "-m", module, *flags]
    with WarmProgram(command, stdout=PIPE, stderr=PIPE, text=True) as program:
        stdout, stderr = program.communicate()
    return Done(command, program.returncode, stdout, stderr)


def assert_refused(done: Done, message: str) -> None:
    """It was bad usage or bad input, and says so without a traceback."""
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def assert_teaches_and_refuses(module: str, example: str, bad: dict[str, str]) -> None:
    """Its help shows an example; each of the bad flags is refused with its message."""
    shown = run_module(module, "--help")
    assert shown.returncode == 0 and example in shown.stdout
    for flags, message in bad.items():
        assert_refused(run_module(module, *flags.split()), message)
