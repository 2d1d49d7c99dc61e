"""Kills a run again and again at random moments; it must end with the bits of a straight one.

  python -m tests.soak --kills=20

trains a small model once without a stop and once with `--kills` SIGKILLs, each at a random
moment after start-up (compiling, between steps, while a checkpoint is written), and compares
every variable of the last checkpoint and every grid. Then it does the same with two worker
processes, one of which is killed each time (`--worker_kills`). Exit code 0: equal.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.command import Command, assert_same_bits, command_on_20_images

# Checkpoints so often that many kills meet one being written.
FLAGS = ["--config.train.checkpoint_every_steps=5", "--config.train.log_every_steps=5"]


def newest_step(run: Path) -> int:
    """The step of the newest whole checkpoint, 0 if there is none."""
    steps = [int(path.stem.split("-")[1]) for path in run.glob("checkpoints/*.index")]
    return max(steps, default=0)


def kill_one(workers: list[subprocess.Popen[str]], after_seconds: float) -> None:
    """Kills one of the processes after a while and waits for the others to notice."""
    time.sleep(after_seconds)
    victim = random.choice(workers)
    if victim.poll() is not None:
        raise SystemExit(f"ended before it was killed; give more --steps? {victim.communicate()}")
    victim.send_signal(signal.SIGKILL)
    for worker in workers:
        worker.communicate(timeout=120)


def start(
    command: Command, processes: int, flags: list[str], run: Path
) -> list[subprocess.Popen[str]]:
    """Starts the run, on one process or as a group of two."""
    if processes == 1:
        return [command.start(*flags, run=run.name)]
    return command.start_workers(*flags, run=run.name)


def finish(workers: list[subprocess.Popen[str]]) -> None:
    """Waits for the end of a run that must succeed."""
    for worker in workers:
        output = worker.communicate()[0]
        assert worker.returncode == 0, output


def soak(command: Command, kills: int, steps: int, processes: int) -> None:
    """One run under kills, then the comparison."""
    flags = [*FLAGS, f"--config.train.steps={steps}"]
    straight, killed = (command.folder / f"{name}-{processes}" for name in ("straight", "killed"))
    print(f"{processes} process(es): the straight run of {steps} steps ...", flush=True)
    finish([command.start(*flags, run=straight.name)])
    for number in range(1, kills + 1):
        before = newest_step(killed)
        workers = start(command, processes, flags, killed)
        seconds = random.uniform(4.0, 13.0)
        kill_one(workers, seconds)
        print(
            f"kill {number:2d} after {seconds:4.1f} s: step {before} -> {newest_step(killed)}",
            flush=True,
        )
    finish(start(command, processes, flags, killed))
    assert_same_bits(straight, killed, steps)
    for grid in (straight / "samples").iterdir():
        assert (killed / "samples" / grid.name).read_bytes() == grid.read_bytes(), grid.name
    print(f"{kills} kills of {processes} process(es): equal to the last bit", flush=True)


def main() -> None:
    """Parses the command line and runs both soaks in a temporary folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="kills of the one-process run")
    parser.add_argument("--worker_kills", type=int, default=5, help="kills of one of two workers")
    parser.add_argument("--steps", type=int, default=20_000, help="length of the one-process run")
    parser.add_argument("--worker_steps", type=int, default=3_000, help="of the two-process run")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        command = command_on_20_images(Path(folder))
        soak(command, arguments.kills, arguments.steps, processes=1)
        soak(command, arguments.worker_kills, arguments.worker_steps, processes=2)


if __name__ == "__main__":
    sys.exit(main())
