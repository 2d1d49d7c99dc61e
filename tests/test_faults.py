"""Some of what `make faults` tries, so that it is known to work: preparing, with ten faults."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc stands before libc's calls")
def test_preparing_survives_faults() -> None:
    command = [sys.executable, "-m", "tests.faults", "--scenarios=prepare", "--cases=10"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "write ENOSPC 1" in done.stdout and "survived" in done.stdout
