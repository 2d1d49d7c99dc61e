"""Programs measured side by side: each in a process of its own, taking turns.

Frameworks keep pools of threads that would fight within one process, and a machine's speed
drifts from minute to minute. So every candidate waits in its own process until the parent
asks it for some units of work and reads the seconds: A B C A B C ... Only ratios of turns in the
same round are compared.
"""

import dataclasses
import importlib
import multiprocessing
import os
import signal
import statistics
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Protocol, Self


class Timed(Protocol):
    """What a factory returns: lives in its own process, does nothing between the calls."""

    def run(self, units: int) -> float:
        """Does `units` of work to the end and returns the seconds it took."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """How to make a candidate.

    Attributes:
        name: as shown.
        factory: `package.module:callable`, imported by the candidate's process only.
        arguments: of the factory; they must pickle.
        one_core: keeps it on one core, so that its framework makes one thread; Linux only.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    one_core: bool = False


class FailedError(Exception):
    """A candidate takes no part any more, or did not do what it should."""


class TimedProcesses:
    """The candidates of one measurement. A context manager: leaving it ends the processes.

    Attributes:
        failures: why a candidate takes no part any more, by name.
    """

    def __init__(self, candidates: Sequence[Candidate], answer_seconds: float = 180.0) -> None:
        """`answer_seconds`: who takes longer over a turn, or over its making, hangs."""
        self.candidates = candidates
        self.answer_seconds = answer_seconds
        self.failures: dict[str, str] = {}
        self._processes: dict[str, ProcessPoolExecutor] = {}
        self._ids: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Makes the candidates, one after the other."""
        spawning = multiprocessing.get_context("spawn")
        try:
            for candidate in self.candidates:
                process = self._processes[candidate.name] = ProcessPoolExecutor(1, spawning)
                self._ids[candidate.name] = process.submit(os.getpid).result()
                self._guarded(candidate.name, _make, candidate)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes."""
        while self._processes:
            self._processes.popitem()[1].shutdown()

    def call(self, method: str, *arguments: Any) -> dict[str, Any]:
        """Calls a method of each candidate in turn; those that fail are left out."""
        return self._each(method, lambda _: arguments)

    def call_one(self, name: str, method: str, *arguments: Any) -> Any:
        """Calls a method of one candidate, and raises what it raises.

        Raises:
            FailedError: it was left out before.
        """
        if name not in self._processes:
            raise FailedError(f"{name} takes no part: {self.failures.get(name)}")
        return self._processes[name].submit(_call, method, *arguments).result()

    def leave_out(self, name: str, reason: str) -> None:
        """Takes a candidate out of all that follows, and ends its process."""
        print(f"  {name} is left out: {reason}", flush=True)
        self.failures[name] = reason
        self._processes.pop(name).shutdown()

    def measure(self, rounds: int, turn_seconds: float, cycle: int = 1) -> dict[str, list[float]]:
        """Lets all run in turns.

        Args:
            rounds: turns of each.
            turn_seconds: roughly how long a turn lasts; a first, unmeasured round, which also
                warms up, tells how many units that is.
            cycle: units after which the work is the same again; turns are of whole cycles.

        Returns:
            Units a second of every turn, by name.
        """
        units = {
            name: units_for(turn_seconds, seconds, cycle)
            for name, seconds in self.call("run", 1).items()
        }
        for name, seconds in self._round(units).items():
            units[name] = units_for(turn_seconds, seconds / units[name], cycle)
        rates: dict[str, list[float]] = {name: [] for name in units}
        for _ in range(rounds):
            for name, seconds in self._round(units).items():
                rates[name].append(units[name] / seconds)
        return {name: rates[name] for name in self._processes}

    def _round(self, units: dict[str, int]) -> dict[str, float]:
        """Seconds of one turn of each."""
        return self._each("run", lambda name: (units[name],))

    def _each(self, method: str, arguments: Callable[[str], tuple[Any, ...]]) -> dict[str, Any]:
        answers = {}
        for name in list(self._processes):
            answer = self._guarded(name, _call, method, *arguments(name))
            if name in self._processes:
                answers[name] = answer
        return answers

    def _guarded(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        answer = self._processes[name].submit(function, *arguments)
        try:
            return answer.result(self.answer_seconds)
        except TimeoutError:
            os.kill(self._ids[name], signal.SIGKILL)  # ending it would wait for the answer
            self.leave_out(name, f"no answer within {self.answer_seconds:.0f} s")
            return None
        except Exception as error:  # whatever a framework raises; the others can be measured
            traceback.print_exception(error)
            first_line = next(iter(str(error).splitlines()), "")
            self.leave_out(name, f"{type(error).__name__}: {first_line}")
            return None


def units_for(turn_seconds: float, seconds_per_unit: float, cycle: int = 1) -> int:
    """How many units a turn of `turn_seconds` holds, in whole cycles, at least one."""
    return cycle * max(1, round(turn_seconds / (cycle * seconds_per_unit)))


@dataclasses.dataclass(frozen=True)
class Summary:
    """What is told of several values of one quantity.

    Attributes:
        spread: the largest less the smallest, as a share of the median.
    """

    minimum: float
    median: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarises at least one value."""
        median = statistics.median(values)
        return cls(min(values), median, (max(values) - min(values)) / median if median else 0.0)


def ratios(rates: Sequence[float], of_peer: Sequence[float]) -> list[float]:
    """Ratios of two candidates' rates, round by round."""
    return [ours / theirs for ours, theirs in zip(rates, of_peer, strict=True)]


def fastest(rates: dict[str, list[float]]) -> str:
    """The name with the largest median."""
    return max(rates, key=lambda name: statistics.median(rates[name]))


_made: list[Timed] = []
"""In a candidate's process: the candidate."""


def _make(candidate: Candidate) -> None:
    if candidate.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    module, _, name = candidate.factory.partition(":")
    _made.append(getattr(importlib.import_module(module), name)(**candidate.arguments))


def _call(method: str, *arguments: Any) -> Any:
    return getattr(_made[0], method)(*arguments)
