"""One config over several values: a process for each run, and what came of them in one table."""

import functools
import os
import sys
from collections.abc import Sequence

from trainer.cli.arguments import flags_without
from trainer.config import Config
from trainer.errors import FailedRunsError, StoppedError, UserError
from trainer.run.run_dir import OUTPUT, SWEEP
from trainer.run.signals import SignalWatch
from trainer.storage.files import write_text
from trainer.sweep.climb import Climb, climb
from trainer.sweep.halving import rungs_of
from trainer.sweep.processes import run_trials
from trainer.sweep.table import table
from trainer.sweep.trials import is_tuple, trials


def sweep(
    config: Config,
    axes: Sequence[str],
    rungs: Sequence[str],
    run_dir: str,
    arguments: Sequence[str],
    processes: int,
) -> None:
    """Trains every combination of the values, shows and writes the table of those that are done.

    Args:
        config: what all runs share; only what each combination makes of it need be valid.
        axes: `field=value,value,...`, one or more.
        rungs: epochs, such as `["2", "20"]`, by which the best are found (`halving`); empty: all
            runs are trained to their end.
        run_dir: runs go to folders in it, named by their values.
        arguments: of the command; its other flags are handed on to the runs.
        processes: how many at a time.

    Raises:
        UserError: a combination will not do, before anything starts; or all runs were refused.
        FailedRunsError: some runs failed; names each with its output.
        StoppedError: SIGTERM or Ctrl-C; the runs have saved their state.
    """
    of_sweep, best_by = trials(config, axes, run_dir), config.evaluation.best_by
    ladder = rungs_of(of_sweep, rungs) if rungs else [of_sweep]
    # Of a tuple's flag, absl would append the sweep's value to that of the command.
    tuples = [f"config.{field}" for field, _ in of_sweep[0].values if is_tuple(config, field)]
    own = ("sweep", "sweep_processes", "sweep_rungs", "run_dir")
    shared = flags_without(arguments, (*own, *tuples))
    print(f"{len(of_sweep)} run(s) in {run_dir}; each prints to {OUTPUT} in its folder.")
    with SignalWatch() as signals:
        command = [sys.executable, "-m", "trainer.main", *shared]
        start = functools.partial(run_trials, command=command, processes=processes, signals=signals)
        climbed = climb(ladder, best_by, start, signals)
    if climbed.candidates:
        fields = [field for field, _ in of_sweep[0].values if field != "seed"]
        text = table(list(climbed.candidates.values()), fields, best_by, rungs)
        path = os.path.join(run_dir, SWEEP)
        write_text(path, text)
        print(f"\n{text}\n{path}", flush=True)
    if signals.received:
        raise StoppedError(
            signals.received,
            f"stopped with {climbed.done} of {climbed.of_rung} runs"
            f"{f' of rung {climbed.rung}' if rungs else ''} done; what ran has saved its state: "
            "give the same command again to go on.",
            in_group=False,
        )
    _raise_where_runs_failed(climbed)


def _raise_where_runs_failed(climbed: Climb) -> None:
    failed = [run for run in climbed.ended if run.exit_code]
    if not failed:
        return
    unstarted = climbed.unstarted
    rest = f"; the other {unstarted}, likely to fail too, were not started" if unstarted else ""
    each = "".join(f"\n  {run.trial.output}: {run.last_line()}" for run in failed)
    is_bad_input = all(run.exit_code == 2 for run in climbed.ended)
    raise (UserError if is_bad_input else FailedRunsError)(
        f"{len(failed)} of {len(climbed.ended) + unstarted} runs failed{rest}:{each}"
    )
