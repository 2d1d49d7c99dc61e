import os
from pathlib import Path

import pytest

from bench.timed_processes import (
    Candidate,
    FailedError,
    Summary,
    TimedProcesses,
    fastest,
    ratios,
    units_for,
)


def logged(name: str, log: Path, seconds: float, fails_at: int = -1) -> Candidate:
    arguments = {"name": name, "log": str(log), "seconds": seconds, "fails_at": fails_at}
    return Candidate(name, "tests.helpers.waiting:Logged", arguments)


def test_contestants_take_turns_in_processes_of_their_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with TimedProcesses([logged("a", log, 0.5), logged("b", log, 0.1)]) as processes:
        rates = processes.measure(rounds=3, turn_seconds=1.0)
    assert rates == {"a": [2.0] * 3, "b": [pytest.approx(10.0)] * 3}
    turns = [line.split() for line in log.read_text().splitlines()]
    # One unit each, a round to warm up, three rounds.
    assert [(name, int(units)) for name, units, _ in turns] == [
        ("a", 1),
        ("b", 1),
        *[("a", 2), ("b", 10)] * 4,
    ]
    assert len({process for _, _, process in turns}) == 2


def test_who_fails_is_left_out_and_says_why(tmp_path: Path) -> None:
    candidates = [
        logged("a", tmp_path / "log", 0.5),
        logged("b", tmp_path / "log", 0.5, fails_at=4),
        Candidate("c", "tests.helpers.waiting:dies"),
        Candidate("d", "tests.bench.no_such_module:Any"),
    ]
    with TimedProcesses(candidates) as processes:
        rates = processes.measure(rounds=3, turn_seconds=1.0)
        with pytest.raises(FailedError, match="takes no part"):
            processes.call_one("c", "run", 1)
    assert rates == {"a": [2.0, 2.0, 2.0]}
    assert processes.failures["b"] == "ValueError: out of breath"
    assert processes.failures["c"].startswith("BrokenProcessPool")
    assert "no_such_module" in processes.failures["d"]


def test_who_hangs_is_left_out(tmp_path: Path) -> None:
    candidates = [
        Candidate("a", "tests.helpers.waiting:hangs"),
        logged("b", tmp_path / "log", 0.5),
    ]
    with TimedProcesses(candidates, answer_seconds=5) as processes:
        assert processes.measure(rounds=1, turn_seconds=1.0) == {"b": [2.0]}
    assert processes.failures == {"a": "no answer within 5 s"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_a_candidate_stays_on_one_core() -> None:
    candidate = Candidate("a", "tests.helpers.waiting:Cores", one_core=True)
    with TimedProcesses([candidate]) as processes:
        assert processes.call_one("a", "count") == 1


def test_summary_and_ratios() -> None:
    summary = Summary.of([4.0, 1.0, 2.0])
    assert (summary.minimum, summary.median, summary.spread) == (1.0, 2.0, 1.5)
    # Round by round: the machine was half as fast in the second, and the ratio does not see it.
    assert ratios([8.0, 4.0], [4.0, 2.0]) == [2.0, 2.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])
    assert fastest({"a": [1.0, 9.0, 1.0], "b": [2.0, 2.0, 2.0]}) == "b"


def test_turns_hold_at_least_one_unit() -> None:
    assert [units_for(1.0, seconds) for seconds in (0.1, 0.4, 30.0)] == [10, 2, 1]
    assert [units_for(1.0, seconds, cycle=4) for seconds in (0.1, 0.01, 30.0)] == [8, 100, 4]
