"""What the commands share that run for minutes: soaks and harnesses."""

import argparse
import random
import signal
import subprocess
import time
from typing import Any


def parsed(description: str, **options: tuple[Any, str]) -> argparse.Namespace:
    """Reads flags, given as their defaults and helps, and `--seed` of all that is random."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (default, text) in {**options, "seed": (0, "of all that is random")}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    given = parser.parse_args()
    random.seed(given.seed)
    return given


def kill_after(victim: subprocess.Popen[str], seconds: float) -> None:
    """Kills a process that must still run after a while."""
    time.sleep(seconds)
    if victim.poll() is not None:
        raise SystemExit(f"ended before it was killed; give more --steps? {victim.communicate()}")
    victim.send_signal(signal.SIGKILL)
