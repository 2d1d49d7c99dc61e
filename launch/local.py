"""Jobs on this machine: a group of workers that starts again together when one of them dies."""

import contextlib
import fcntl
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from launch.backend import JobState, JobStatus
from launch.errors import LaunchError, ServiceError
from launch.job import JobSpec
from launch.worker_group import WorkerGroup, environments

# The trainer's exit codes after which a new start would only do the same: done, bad usage or input.
_FINAL_EXIT_CODES = (0, 2)
_POLL_SECONDS = 0.1


class Local:
    """Jobs on this machine; a job's id is its name."""

    def __init__(self, max_restarts: int = 3) -> None:
        """Sets how many times a group that failed starts again.

        Raises:
            LaunchError: the number is negative.
        """
        if max_restarts < 0:
            raise LaunchError(f"--max_restarts={max_restarts}: give 0 or more.")
        self.max_restarts = max_restarts

    def render(self, job: JobSpec) -> str:
        """The shell's command line of each worker; a real start takes ports that are free."""
        lines = []
        for env in environments(job.workers, [2222 + index for index in range(job.workers)]):
            variables = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
            lines.append(" ".join([*variables, shlex.join(job.command())]))
        return "\n".join(lines) + "\n"

    def run(self, job: JobSpec) -> int:
        """Runs a job to its end, showing what its workers print.

        SIGTERM, SIGHUP and Ctrl-C go on to the workers, which save and end.

        Returns:
            The trainer's exit code.

        Raises:
            LaunchError: a job of this name is running.
        """
        record = _Record(job.name)
        # Unbuffered, so that no line waits for one that the disk refuses.
        with record.claimed(), open(record.log, "wb", buffering=0) as log:
            group = WorkerGroup(job, log)
            with _passing_signals_to(group):
                exit_code = self._run_until_final(group, record)
            state = JobState.SUCCEEDED if exit_code == 0 else JobState.FAILED
            detail = f"exit code {exit_code}"
            if group.told_to_end and exit_code:
                state, detail = JobState.CANCELLED, f"{detail}, {group.told_to_end}"
            record.write(state, detail)
        return exit_code

    def _run_until_final(self, group: WorkerGroup, record: "_Record") -> int:
        restarts = 0
        while True:
            exit_code = group.run()
            if exit_code in _FINAL_EXIT_CODES or group.told_to_end or restarts == self.max_restarts:
                return exit_code
            restarts += 1
            detail = f"exit code {exit_code}; restart {restarts} of {self.max_restarts}"
            print(f"launch: {detail}", file=sys.stderr, flush=True)
            record.write(JobState.RUNNING, detail)

    def status(self, job_id: str) -> JobStatus:
        """Where a job stands; raises ServiceError where there is none of this name."""
        return _Record(job_id).status()

    def list(self) -> list[JobStatus]:
        """The jobs of this user, newest first."""
        found = [_Record(path.parent.name).status() for path in _jobs_folder().glob("*/job.json")]
        return sorted(found, key=lambda status: status.created, reverse=True)

    def cancel(self, job_id: str) -> None:
        """Tells a job to save and end; raises ServiceError where it is not running."""
        os.kill(_Record(job_id).launcher(), signal.SIGTERM)

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        """What the workers printed, each line with its worker."""
        record = _Record(job_id)
        ended = record.status().state.is_final or not follow
        with open(record.log, encoding="utf-8", errors="replace") as log:
            while True:
                yield from (line.rstrip("\n") for line in log)
                if ended:
                    return
                time.sleep(_POLL_SECONDS)
                # Asked before the last reading, so that nothing printed in between is missed.
                ended = record.status().state.is_final


class _Record:
    """What is kept of a job, in a folder of its own: job.json, log.txt and its launcher's lock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = _jobs_folder() / name
        self.file = self.folder / "job.json"
        self.log = self.folder / "log.txt"
        self.lock = self.folder / "lock"
        self.created = datetime.now(UTC).isoformat(timespec="milliseconds")

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keeps a new record for this process while inside.

        Raises:
            LaunchError: a job of this name is running, or the record cannot be written.
        """
        with contextlib.ExitStack() as held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = held.enter_context(open(self.lock, "a"))
                # The kernel gives it back however this process ends; a process's number alone may
                # be another's by then.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.log.touch()
                self._write(JobState.RUNNING, "")
            except BlockingIOError:
                raise LaunchError(
                    f"--name={self.name}: a job of this name is running; cancel it, or take "
                    "another --name."
                ) from None
            except OSError as error:
                raise LaunchError(
                    f"the record of the job cannot be kept ({error}): free that disk, or set "
                    "XDG_STATE_HOME to a folder that can be written."
                ) from error
            yield

    def write(self, state: JobState, detail: str) -> None:
        """Sets the state; where the disk refuses, the job goes on all the same."""
        try:
            self._write(state, detail)
        except OSError as error:
            print(f"launch: {self.file} is not up to date ({error})", file=sys.stderr, flush=True)

    def _write(self, state: JobState, detail: str) -> None:
        content = {
            "pid": os.getpid(),
            "created": self.created,
            "state": state.value,
            "detail": detail,
        }
        temporary = self.file.with_suffix(f".tmp-{os.getpid()}")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(self.file)

    def launcher(self) -> int:
        """The number of the process that runs the job; raises ServiceError where none does."""
        status = self.status()
        if status.state.is_final:
            raise ServiceError(f"{self.name} is not running: it has {status.state.value}.")
        return int(json.loads(self.file.read_text())["pid"])

    def status(self) -> JobStatus:
        """Where the job stands; one whose launcher was killed has failed.

        Raises:
            ServiceError: there is no such job.
        """
        # A name alone: a path would lead to what is no job.
        if self.name != self.folder.name or not self.file.exists():
            raise ServiceError(f"there is no local job {self.name}; see list --backend=local.")
        try:
            content = json.loads(self.file.read_text())
            created, detail = str(content["created"]), str(content["detail"])
            state, _ = JobState(content["state"]), int(content["pid"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return JobStatus(self.name, JobState.FAILED, f"its record {self.file} is damaged")
        if not state.is_final and not self._has_launcher():
            state, detail = JobState.FAILED, "its launcher was killed"
        return JobStatus(self.name, state, detail, created)

    def _has_launcher(self) -> bool:
        with contextlib.suppress(FileNotFoundError), open(self.lock) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def _jobs_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "dcgan-trainer/jobs"


@contextlib.contextmanager
def _passing_signals_to(group: WorkerGroup) -> Iterator[None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        group.tell(number, f"told by {signal.Signals(number).name}")

    # SIGHUP, of a lost connection, too: the workers, in sessions of their own, would train on.
    # What is ignored from the start, as under nohup, stays so.
    before = {
        number: signal.signal(number, pass_on)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
