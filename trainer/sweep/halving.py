"""Successive halving: all candidates to the first rung, the best third of each rung to the next.

Jamieson and Talwalkar 2016, after Karnin et al. 2013, with a third in place of a half and with
rungs that the user chooses. A candidate is all seeds of one combination of the values.
"""

import dataclasses
import math
import os
from collections.abc import Sequence

from trainer.cli.arguments import with_values
from trainer.errors import UserError
from trainer.report.ranking import Candidate, Ranking
from trainer.run.metrics_file import read_metrics
from trainer.run.run_dir import has_config, read_config
from trainer.sweep.trials import Trial, check_folder_name

_ONE_IN = 3


def rungs_of(of_sweep: Sequence[Trial], given: Sequence[str]) -> list[list[Trial]]:
    """All trials as runs up to each rung, checked; the rungs are epochs, such as `["2", "20"]`.

    Raises:
        UserError: the epochs do not rise or will not do, or the trials cannot be ranked by them.
    """
    flag = f"--sweep_rungs={','.join(given)}"
    epochs = [int(text) if text.isdecimal() else 0 for text in given]
    if len(epochs) < 2 or sorted({*epochs, 0}) != [0, *epochs]:
        raise UserError(f"{flag}: give two epochs or more, each above the one before, as 2,20.")
    for trial in of_sweep:
        _check_can_rank(trial, flag)
    return [[_up_to(trial, each, flag) for trial in of_sweep] for each in epochs]


def _check_can_rank(trial: Trial, flag: str) -> None:
    if not trial.config.evaluation.every_epochs:
        raise UserError(
            f"{flag}: runs that are not evaluated cannot be ranked, since losses do not tell which "
            "images are better: set --config.evaluation.every_epochs=1, or leave the flag out."
        )
    if trial.config.train.steps:
        raise UserError(
            f"{flag}: train.steps is {trial.config.train.steps}, which ends a run whatever its "
            "epochs are: set --config.train.steps=0."
        )
    for field, _ in trial.values:
        if field == "train.epochs":
            raise UserError(f"{flag}: the rungs say how many epochs: drop --sweep={field}=...")
        if field.startswith("evaluation."):
            raise UserError(
                f"{flag}: runs that are evaluated in other ways cannot be ranked: drop "
                f"--sweep={field}=..."
            )


def _up_to(trial: Trial, epochs: int, flag: str) -> Trial:
    """A trial as a run of so many epochs, in its own folder, where it goes on from the rung before.

    Not where the learning rate falls to the end of the run: what was trained at low rates is no
    beginning of a longer run. Such a trial is trained from the start in a folder of each rung.
    """
    added = [("train.epochs", str(epochs))]
    config = with_values(trial.config, added)
    try:
        config.validate()
    except UserError as error:
        raise UserError(f"{flag}: {error}") from error
    run_dir = trial.run_dir
    if config.learns_to_the_end:
        run_dir += f"_train.epochs={epochs}"
        check_folder_name(os.path.basename(run_dir), flag)
    return dataclasses.replace(trial, run_dir=run_dir, config=config, epochs=epochs)


def has_gone_on(trial: Trial) -> bool:
    """Whether the run in the trial's folder is on its way to a later rung, and so past this one."""
    if not trial.epochs or not has_config(trial.run_dir):
        return False
    try:
        wanted = read_config(trial.run_dir).train.epochs
    except UserError:
        return False  # which the run itself is to tell
    lines = read_metrics(trial.run_dir) if wanted > trial.epochs else []
    return bool(lines) and lines[-1]["epoch"] >= trial.epochs


def best_third(candidates: Sequence[Candidate], started: int, best_by: str) -> list[Candidate]:
    """Those that go on to the next rung, best first: a third of all that started, rounded up.

    `candidates` are those of which every run is done; what has no finite measure does not go on.
    """
    ranking = Ranking(candidates, best_by)
    ranked = [each for each in ranking.candidates if math.isfinite(ranking.score(each.results))]
    return ranked[: math.ceil(started / _ONE_IN)]
