"""Candidates for tests of the harness, whose seconds are made up."""

import os
import sys
import time
from pathlib import Path
from typing import Any


class Logged:
    """Writes down its turns; says that a unit takes `seconds`."""

    def __init__(self, name: str, log: str, seconds: float, fails_at: int = -1) -> None:
        self.name, self.log, self.seconds, self.fails_at = name, log, seconds, fails_at
        self.turns = 0

    def run(self, units: int) -> float:
        self.turns += 1
        if self.turns == self.fails_at:
            raise ValueError("out of breath\nsecond line")
        with Path(self.log).open("a") as file:
            file.write(f"{self.name} {units} {os.getpid()}\n")
        return units * self.seconds


def dies() -> None:
    os._exit(3)


def hangs() -> None:
    time.sleep(600)


class Cores:
    def count(self) -> int:
        return len(os.sched_getaffinity(0))


def exported_peer(**arguments: Any) -> Any:
    """Our exported programs, with a way to ask whether TensorFlow came along."""
    from bench.peers.exported_peer import ExportedPeer

    class Asked(ExportedPeer):
        def has_tensorflow(self) -> bool:
            return "tensorflow" in sys.modules

    return Asked(**arguments)
