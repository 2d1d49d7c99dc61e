"""One config over several values: a process for each run, and what came of them in one table."""

import os
import sys
from collections.abc import Sequence

from trainer.cli.arguments import flags_without
from trainer.config import Config
from trainer.errors import FailedRunsError, StoppedError, UserError
from trainer.report.ranking import Candidate, Result, result_of
from trainer.run.metrics_file import read_metrics
from trainer.run.run_dir import OUTPUT, SWEEP
from trainer.run.signals import SignalWatch
from trainer.storage.files import write_text
from trainer.sweep.processes import run_trials
from trainer.sweep.table import table
from trainer.sweep.trials import Trial, is_tuple, trials


def sweep(
    config: Config, axes: Sequence[str], run_dir: str, arguments: Sequence[str], processes: int
) -> None:
    """Trains every combination of the values, shows and writes the table of those that are done.

    Args:
        config: what all runs share; only what each combination makes of it need be valid.
        axes: `field=value,value,...`, one or more.
        run_dir: runs go to folders in it, named by their values.
        arguments: of the command; its other flags are handed on to the runs.
        processes: how many at a time.

    Raises:
        UserError: a combination will not do, before anything starts; or all runs were refused.
        FailedRunsError: some runs failed; names each with its output.
        StoppedError: SIGTERM or Ctrl-C; the runs have saved their state.
    """
    of_sweep = trials(config, axes, run_dir)
    # Of a tuple's flag, absl would append the sweep's value to that of the command.
    tuples = [f"config.{field}" for field, _ in of_sweep[0].values if is_tuple(config, field)]
    shared = flags_without(arguments, ("sweep", "sweep_processes", "run_dir", *tuples))
    print(f"{len(of_sweep)} run(s) in {run_dir}; each prints to {OUTPUT} in its folder.")
    with SignalWatch() as signals:
        command = [sys.executable, "-m", "trainer.main", *shared]
        ended = run_trials(of_sweep, command, processes, signals)
    done = [run.trial for run in ended if run.exit_code == 0]
    if done:
        best_by = config.evaluation.best_by
        fields = [field for field, _ in done[0].without_seed]
        text = table(_candidates(done, best_by), fields, best_by)
        path = os.path.join(run_dir, SWEEP)
        write_text(path, text)
        print(f"\n{text}\n{path}", flush=True)
    if signals.received:
        raise StoppedError(
            signals.received,
            f"stopped with {len(done)} of {len(of_sweep)} runs done; what ran has saved its "
            "state: give the same command again to go on.",
            in_group=False,
        )
    failed = [run for run in ended if run.exit_code]
    if failed:
        unstarted = len(of_sweep) - len(ended)
        rest = f"; the other {unstarted}, likely to fail too, were not started" if unstarted else ""
        each = "".join(f"\n  {run.trial.output}: {run.last_line()}" for run in failed)
        is_bad_input = all(run.exit_code == 2 for run in ended)
        raise (UserError if is_bad_input else FailedRunsError)(
            f"{len(failed)} of {len(of_sweep)} runs failed{rest}:{each}"
        )


def _candidates(done: Sequence[Trial], best_by: str) -> list[Candidate]:
    found: dict[tuple[str, ...], list[Result]] = {}
    for trial in done:
        name = tuple(value for _, value in trial.without_seed)
        result = result_of(trial.run_dir, read_metrics(trial.run_dir), best_by)
        found.setdefault(name, []).append(result)
    return [Candidate(name, results) for name, results in found.items()]
