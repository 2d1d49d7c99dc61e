"""Where a run's wall time goes: every moment belongs to one phase."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

Phase = Literal[
    "imports",
    "startup",  # until the loop begins, where it is nothing of the following
    "data",
    "networks",
    "evaluator",  # features of the real images
    "first_step",  # traced and compiled
    "input",
    "steps",
    "logging",
    "grids",
    "evaluation",
    "checkpoints",
]


def scalars_of(seconds: Mapping[Phase, float]) -> dict[str, float]:
    """Seconds by phase under the names that they have in metrics.jsonl.

    Without those of evaluation, whose own lines tell them.
    """
    return {f"speed/{name}_seconds": s for name, s in seconds.items() if name != "evaluation"}


def seconds_by_phase(lines: Sequence[Mapping[str, Any]]) -> dict[Phase, float]:
    """Sums over lines of metrics.jsonl, of the phases that these name."""
    seconds: dict[Phase, float] = {}
    for phase in get_args(Phase):
        name = f"speed/{phase}_seconds"
        if values := [line[name] for line in lines if name in line]:
            seconds[phase] = math.fsum(values)
    return seconds


class Phases:
    """Adds up seconds by phase; while an inner phase lasts, the outer one stands still."""

    def __init__(
        self, first: Phase = "startup", clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Begins in the phase `first`; `clock`: seconds."""
        self.clock = clock
        self.current: Phase = first
        self.since = clock()
        self.seconds: dict[Phase, float] = {}

    def enter(self, phase: Phase) -> Phase:
        """Begins a phase in place of the present one, which is returned."""
        before, now = self.current, self.clock()
        self.seconds[before] = self.seconds.get(before, 0.0) + now - self.since
        self.current, self.since = phase, now
        return before

    @contextlib.contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Counts the time inside as a phase, then goes on with the one before."""
        before = self.enter(phase)
        try:
            yield
        finally:
            self.enter(before)

    def take(self) -> dict[Phase, float]:
        """Seconds by phase since the last call."""
        self.enter(self.current)
        taken, self.seconds = self.seconds, {}
        return taken
