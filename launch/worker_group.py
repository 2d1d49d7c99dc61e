"""Processes on this machine that train together."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from io import RawIOBase

from launch.job import JobSpec

# Others notice a dead worker within 12 seconds and leave by themselves.
_GRACE_SECONDS = 30.0
_POLL_SECONDS = 0.1
_PARENT = "DCGAN_TRAINER_PARENT"
"""Names the process with which the trainer ends, as if it were told to."""


class WorkerGroup:
    """The workers of a job, which start and end together."""

    def __init__(self, job: JobSpec, log: RawIOBase) -> None:
        """Sets what `run` starts; what the workers print goes to the terminal and to `log`."""
        self.job = job
        self.log = log
        self.lock = threading.Lock()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.deadline = time.monotonic() + job.max_hours * 3600
        self.told_to_end = ""

    def run(self) -> int:
        """Starts all workers and waits for all.

        Returns:
            The exit code of the first that failed, 128 plus the signal's number for one
            that was killed; 0 where all succeeded.
        """
        group = environments(self.job.workers, free_ports(self.job.workers))
        self.workers = [self._start(env) for env in group]
        pumps = [
            threading.Thread(target=self._pump, args=(f"[worker {index}] ", worker), daemon=True)
            for index, worker in enumerate(self.workers)
        ]
        for pump in pumps:
            pump.start()
        if self.told_to_end:
            # The signal came between two starts.
            self.tell(signal.SIGTERM, self.told_to_end)
        exit_code = self._wait()
        for pump in pumps:
            pump.join()
        return exit_code

    def tell(self, signal_number: int, reason: str) -> None:
        """Passes a signal on to all workers; `reason` says why, for people."""
        self.told_to_end = reason
        for worker in self.workers:
            worker.send_signal(signal_number)

    def _start(self, env: dict[str, str]) -> "subprocess.Popen[bytes]":
        # In a session of its own, so that Ctrl-C reaches it once, through `tell`.
        return subprocess.Popen(
            [sys.executable, *self.job.command()[1:]],
            env=os.environ | {"PYTHONUNBUFFERED": "1", _PARENT: str(os.getpid())} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _pump(self, prefix: str, worker: "subprocess.Popen[bytes]") -> None:
        assert worker.stdout is not None
        for line in worker.stdout:
            text = f"{prefix}{line.decode(errors='replace').rstrip()}\n"
            with self.lock:
                self._keep(text)
                try:
                    print(text, end="", flush=True)
                except OSError:
                    # Nobody reads any more, as in `... | head`; the workers go on.
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _keep(self, text: str) -> None:
        """Writes to the log as long as its disk takes it; the workers wait for their reader."""
        try:
            if not self.log.closed:
                self.log.write(text.encode())
        except OSError as error:
            self.log.close()
            print(f"launch: the job goes on without its log ({error})", file=sys.stderr, flush=True)

    def _wait(self) -> int:
        first_failure, give_up_at = 0, float("inf")
        while None in (codes := [worker.poll() for worker in self.workers]):
            failures = [code for code in codes if code]
            if failures and not first_failure:
                first_failure = failures[0]
                give_up_at = time.monotonic() + _GRACE_SECONDS
            if time.monotonic() > give_up_at:
                for worker in self.workers:
                    worker.kill()
            if time.monotonic() > self.deadline and not self.told_to_end:
                self.tell(signal.SIGTERM, f"--max_hours={self.job.max_hours:g} are over")
            time.sleep(_POLL_SECONDS)
        code = first_failure or next((code for code in codes if code), 0) or 0
        return code if code >= 0 else 128 - code


def environments(workers: int, ports: list[int]) -> list[dict[str, str]]:
    """The variables of each worker: TF_CONFIG, where there are several."""
    return [{}] if workers == 1 else [{"TF_CONFIG": text} for text in tf_configs(ports)]


def tf_configs(ports: list[int]) -> list[str]:
    """TF_CONFIG of each worker of a group on this machine, a port for each."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(len(ports))
    ]


def free_ports(count: int) -> list[int]:
    """Ports that nothing on this machine listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
