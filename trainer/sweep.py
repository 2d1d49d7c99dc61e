"""One config over several values: a process for each run, and what came of them in one table."""

import contextlib
import dataclasses
import functools
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO

import tensorflow as tf

from trainer.cli.arguments import flags_without, with_values
from trainer.cli.parent import PARENT
from trainer.config import Config
from trainer.config_fields import is_field, unknown_field_message
from trainer.errors import FailedRunsError, StoppedError, UserError
from trainer.report.ranking import ranking
from trainer.run.run_dir import METRICS, OUTPUT, SWEEP
from trainer.run.signals import SignalWatch
from trainer.storage.bucket import is_gs
from trainer.storage.files import naming_the_output, write_text

_POLL_SECONDS = 0.2
_NAME_BYTES_AT_MOST = 255
_FIRST_PROGRESS_SECONDS, _PROGRESS_SECONDS_AT_MOST = 10.0, 300.0


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep: its folder, its (field, value) pairs, the config they come to."""

    run_dir: str
    values: tuple[tuple[str, str], ...]
    config: Config

    @property
    def flags(self) -> list[str]:
        """What tells the trainer this run's values."""
        return [f"--run_dir={self.run_dir}", *(f"--config.{f}={v}" for f, v in self.values)]

    @property
    def output(self) -> str:
        """Path of the file with all that the run prints."""
        return os.path.join(self.run_dir, OUTPUT)


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
    tuples = [f"config.{field}" for field, _ in of_sweep[0].values if _is_tuple(config, field)]
    shared = flags_without(arguments, ("sweep", "sweep_processes", "run_dir", *tuples))
    print(f"{len(of_sweep)} run(s) in {run_dir}; each prints to {OUTPUT} in its folder.")
    with SignalWatch() as signals:
        command = [sys.executable, "-m", "trainer.main", *shared]
        ended = run_trials(of_sweep, command, processes, signals)
    done = [run.trial for run in ended if run.exit_code == 0]
    if done:
        text = ranking({trial.run_dir: trial.values for trial in done}, config.evaluation.best_by)
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


def trials(config: Config, axes: Sequence[str], run_dir: str) -> list[Trial]:
    """Every combination of the values, each checked.

    An axis is `field=value,value,...` or, of a field that is a tuple, `field=1,2;3,4`.

    Raises:
        UserError: not of that form, no such field, a value that the field or the config does not
            take, or the same run twice.
    """
    choices = dict(_field_and_values(config, axis) for axis in axes)
    if len(choices) < len(axes):
        raise UserError("--sweep names a field twice; give all its values in one --sweep.")
    found: list[Trial] = []
    names: dict[str, str] = {}
    for combination in itertools.product(*choices.values()):
        values = tuple(zip(choices, combination, strict=True))
        parts = [f"{field}={value}" for field, value in values]
        # Commas would part the folders in --run_dir=A,B; slashes would make folders of their own.
        name, folder = " ".join(parts), re.sub(r"[^\w.+=-]+", "-", "_".join(parts))
        try:
            trial = Trial(os.path.join(run_dir, folder), values, with_values(config, values))
            trial.config.validate()
        except UserError as error:
            raise UserError(f"--sweep, {name}: {error}") from error
        if (size := len(os.fsencode(folder))) > _NAME_BYTES_AT_MOST:
            raise UserError(
                f"--sweep, {name}: names its folder with {size} bytes, of which disks take "
                f"{_NAME_BYTES_AT_MOST}: sweep shorter values, or give the long ones by --config."
            )
        for key in (trial.run_dir, trial.config.to_json()):
            if key in names:
                same = f"{names[key]} and {name} come to the same run or folder"
                raise UserError(f"--sweep: {same}; drop one.")
            names[key] = name
        found.append(trial)
    return found


def _field_and_values(config: Config, axis: str) -> tuple[str, list[str]]:
    name, separator, text = axis.partition("=")
    field = name.removeprefix("config.")
    if field and not is_field(config, field):
        raise UserError(f"--sweep={axis}: {unknown_field_message(config, field)}")
    is_tuple = bool(field) and _is_tuple(config, field)
    values = [value.strip() for value in text.split(";" if is_tuple else ",")]
    # A list may be empty, where its field takes that: no augmentation against some.
    if not field or not separator or not (is_tuple or all(values)):
        raise UserError(f"--sweep={axis}: give FIELD=VALUE,VALUE, such as seed=1,2,3.")
    return field, values


def _is_tuple(config: Config, field: str) -> bool:
    return isinstance(functools.reduce(getattr, field.split("."), config), tuple)


class TrialProcess:
    """A trial as a process of its own, which appends what it prints to the trial's output."""

    def __init__(self, trial: Trial, command: Sequence[str]) -> None:
        self.trial = trial
        self.exit_code: int | None = None
        self._files = contextlib.ExitStack()
        output = self._files.enter_context(_appended(trial.output))
        self._fileno, self._begin = output.fileno(), os.fstat(output.fileno()).st_size
        self._process = subprocess.Popen(
            [*command, *trial.flags],
            env=os.environ | {PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        self._last_line = ""

    def has_ended(self) -> bool:
        """Whether it has; then `exit_code` is there and the output is written."""
        if self.exit_code is None and self._process.poll() is not None:
            self._last_line = self.last_line()
            self.exit_code = self._process.returncode
            self._files.close()
        return self.exit_code is not None

    def last_line(self) -> str:
        """The last line that it printed; its error, where there is one."""
        if self.exit_code is not None:
            return self._last_line
        # pread, since a temporary file's position is the process's as well.
        size = os.fstat(self._fileno).st_size
        start = max(self._begin, size - 10_000)
        text = os.pread(self._fileno, size - start, start).decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()] or ["nothing printed yet"]
        return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])

    def terminate(self) -> None:
        """Sends SIGTERM, after which a run saves and ends."""
        # Never SIGINT: a terminal has sent that already, and the second ends a run unsaved.
        self._process.terminate()

    def wait(self) -> None:
        """Returns when it has ended."""
        self._process.wait()
        self.has_ended()


def run_trials(
    of_sweep: Sequence[Trial], command: Sequence[str], processes: int, signals: SignalWatch
) -> list[TrialProcess]:
    """Trains each as a process of its own, some at a time, and tells how it goes.

    A run that is refused (exit code 2) holds back those not yet started until one has come to its
    first step: bad input is most often the input of all. Once a signal was received, the processes
    are told to stop and no more are started.

    Returns:
        Those that were started; all have ended.
    """
    waiting, running, ended = list(of_sweep), list[TrialProcess](), list[TrialProcess]()
    is_told, pause = False, _FIRST_PROGRESS_SECONDS
    progress_due = time.monotonic() + pause
    try:
        while True:
            while waiting and len(running) < processes and not signals.received:
                if _is_held(ended, of_sweep):
                    break
                running.append(TrialProcess(waiting.pop(0), command))
                print(f"starts {running[-1].trial.run_dir}", flush=True)
            if not running:
                return ended
            if signals.received and not is_told:
                is_told = True
                print(f"{signals.received.name}: the runs save and end.", flush=True)
                for run in running:
                    run.terminate()
            time.sleep(_POLL_SECONDS)
            for run in [run for run in running if run.has_ended()]:
                running.remove(run)
                ended.append(run)
                why = f": {run.last_line()}" if run.exit_code else ""
                print(f"ends   {run.trial.run_dir} with exit code {run.exit_code}{why}", flush=True)
            if running and time.monotonic() >= progress_due:
                print(f"{len(ended)} of {len(of_sweep)} runs have ended; now")
                for run in running:
                    print(f"  {run.trial.run_dir}: {run.last_line()}", flush=True)
                pause = min(2 * pause, _PROGRESS_SECONDS_AT_MOST)
                progress_due = time.monotonic() + pause
    finally:
        for run in running:
            run.terminate()
        for run in running:
            run.wait()


def _is_held(ended: Sequence[TrialProcess], of_sweep: Sequence[Trial]) -> bool:
    """Whether a run was refused and none has come to its first step."""
    return any(run.exit_code == 2 for run in ended) and not any(
        tf.io.gfile.exists(os.path.join(trial.run_dir, METRICS)) for trial in of_sweep
    )


@contextlib.contextmanager
def _appended(path: str) -> Iterator[IO[bytes]]:
    """A file that a process can write to; on gs:// the text is there once the block ends."""
    if not is_gs(path):
        with naming_the_output(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file = open(path, "a+b")  # noqa: SIM115
        with file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        with tf.io.gfile.GFile(path, "ab") as output:
            output.write(file.read())
