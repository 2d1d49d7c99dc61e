"""A sweep from rung to rung; one without rungs is a ladder of one."""

import dataclasses
from collections.abc import Callable, Sequence

from trainer.report.ranking import Candidate, Result, result_of
from trainer.run.metrics_file import read_metrics
from trainer.run.signals import SignalWatch
from trainer.sweep.halving import best_third, has_gone_on
from trainer.sweep.processes import TrialProcess
from trainer.sweep.trials import Trial

Start = Callable[[Sequence[Trial]], list[TrialProcess]]
"""Trains trials as processes, and returns those that were started once all have ended."""


@dataclasses.dataclass
class Climb:
    """How far a sweep has come.

    Attributes:
        candidates: by their values; each at the last rung where runs of it are done.
        ended: every process, of all rungs.
        unstarted: runs of the last rung that were held back.
        done, of_rung: runs of the last rung that are done, and how many it has.
        rung: the last one, from 1.
    """

    candidates: dict[tuple[str, ...], Candidate] = dataclasses.field(default_factory=dict)
    ended: list[TrialProcess] = dataclasses.field(default_factory=list)
    unstarted: int = 0
    done: int = 0
    of_rung: int = 0
    rung: int = 0


def climb(
    ladder: Sequence[Sequence[Trial]], best_by: str, start: Start, signals: SignalWatch
) -> Climb:
    """Trains the trials of the first rung, of the next those of the best candidates, and so on.

    A candidate of which a run failed does not go on. The climb ends where none does, where runs
    were held back, and once a signal was received.

    Args:
        ladder: for each rung all trials, as runs up to it.
        best_by: the measure that ranks, such as `fid`.
        start: trains some of them.
        signals: of the sweep.
    """
    so_far, going = Climb(), {trial.candidate for trial in ladder[0]}
    for number, rung in enumerate(ladder, start=1):
        trials = [trial for trial in rung if trial.candidate in going]
        if len(ladder) > 1:
            of = f"{len(trials)} run(s) of {rung[0].epochs} epoch(s)"
            print(f"rung {number} of {len(ladder)}: {of}", flush=True)
        waiting = [trial for trial in trials if not has_gone_on(trial)]
        started = start(waiting)
        undone = {trial.run_dir for trial in waiting}
        undone -= {run.trial.run_dir for run in started if run.exit_code == 0}
        done = [trial for trial in trials if trial.run_dir not in undone]
        reached = _candidates(done, best_by, number)
        so_far.candidates |= reached
        so_far.ended += started
        so_far.unstarted = len(waiting) - len(started)
        so_far.done, so_far.of_rung, so_far.rung = len(done), len(trials), number
        if signals.received or so_far.unstarted or number == len(ladder):
            break
        failed = {trial.candidate for trial in trials if trial.run_dir in undone}
        whole = [each for each in reached.values() if each.name not in failed]
        best = best_third(whole, len(going), best_by)
        print(f"{len(best)} of {len(going)} go on to rung {number + 1}: {_names(best)}")
        going = {candidate.name for candidate in best}
        if not going:
            break
    return so_far


def _names(candidates: Sequence[Candidate]) -> str:
    return "; ".join(" ".join(candidate.name) or "all seeds" for candidate in candidates) or "none"


def _candidates(done: Sequence[Trial], best_by: str, rung: int) -> dict[tuple[str, ...], Candidate]:
    results: dict[tuple[str, ...], list[Result]] = {}
    for trial in done:
        lines = read_metrics(trial.run_dir)
        result = result_of(trial.run_dir, lines, best_by, trial.epochs)
        results.setdefault(trial.candidate, []).append(result)
    return {name: Candidate(name, found, rung) for name, found in results.items()}
