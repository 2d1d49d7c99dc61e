"""Jobs on this machine: a group of workers that starts again together when one of them dies."""

import contextlib
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
from typing import Any

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
        record.claim()
        with open(record.log, "w", encoding="utf-8") as log:
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
        record = _Record(job_id)
        status = record.status()
        if status.state.is_final:
            raise ServiceError(f"{job_id} is not running: it has {status.state.value}.")
        os.kill(record.read()["pid"], signal.SIGTERM)

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
    """What is kept of a job: job.json and log.txt in a folder of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = _jobs_folder() / name
        self.file = self.folder / "job.json"
        self.log = self.folder / "log.txt"

    def claim(self) -> None:
        """Starts a new record; raises LaunchError where a job of this name is running."""
        if self.file.exists() and not self.status().state.is_final:
            raise LaunchError(
                f"--name={self.name}: a job of this name is running; cancel it, or take another "
                "--name."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.unlink(missing_ok=True)
        self.write(JobState.RUNNING, "")

    def write(self, state: JobState, detail: str) -> None:
        """Sets the state, and keeps when the job was made."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        created = self.read()["created"] if self.file.exists() else now
        content = {"pid": os.getpid(), "created": created, "state": state.value, "detail": detail}
        temporary = self.file.with_suffix(f".tmp-{os.getpid()}")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(self.file)

    def read(self) -> dict[str, Any]:
        """What was written last; raises ServiceError where there is no such job."""
        if not self.file.exists():
            raise ServiceError(f"there is no local job {self.name}; see list --backend=local.")
        content: dict[str, Any] = json.loads(self.file.read_text())
        return content

    def status(self) -> JobStatus:
        """The same as a status; a job whose launcher was killed has failed."""
        content = self.read()
        state, detail = JobState(content["state"]), content["detail"]
        if not state.is_final and not _is_alive(content["pid"]):
            state, detail = JobState.FAILED, "its launcher was killed"
        return JobStatus(self.name, state, detail, content["created"])


def _jobs_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "dcgan-trainer/jobs"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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
