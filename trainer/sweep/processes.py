"""The runs of a sweep as processes, some at a time, and how they go."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO

import tensorflow as tf

from trainer.cli.parent import PARENT
from trainer.run.run_dir import METRICS
from trainer.run.signals import SignalWatch
from trainer.storage.bucket import is_gs
from trainer.storage.files import naming_the_output
from trainer.sweep.trials import Trial

_POLL_SECONDS = 0.2
_FIRST_PROGRESS_SECONDS, _PROGRESS_SECONDS_AT_MOST = 10.0, 300.0


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
