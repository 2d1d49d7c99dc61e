"""Kills a run again and again at random moments; it must end with the bits of a straight one.

  python -m tests.soak --kills=20

trains a small model once without a stop and once with `--kills` SIGKILLs, each at a random
moment after start-up (compiling, between steps, while a checkpoint is written), and compares
every variable of the last checkpoint and every grid. Then it does the same with two worker
processes, one of which is killed each time (`--worker_kills`). Exit code 0: equal.
"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers.command import Command, assert_same_bits, assert_same_grids, command_on_20_images
from tests.helpers.soak import kill_after, parsed

# Checkpoints so often that many kills meet one being written.
FLAGS = ["--config.train.checkpoint_every_steps=5", "--config.train.log_every_steps=5"]


def newest_step(run: Path) -> int:
    """The step of the newest whole checkpoint, 0 if there is none."""
    steps = [int(path.stem.split("-")[1]) for path in run.glob("checkpoints/*.index")]
    return max(steps, default=0)


def soak(command: Command, kills: int, steps: int, processes: int) -> None:
    """One run under kills, then the comparison."""
    flags = [*FLAGS, f"--config.train.steps={steps}"]
    straight, killed = (command.folder / f"{name}-{processes}" for name in ("straight", "killed"))
    print(f"{processes} process(es): the straight run of {steps} steps ...", flush=True)
    command.finish(*flags, run=straight.name, seconds=3600)

    def start() -> list[subprocess.Popen[str]]:
        if processes == 1:
            return [command.start(*flags, run=killed.name)]
        return command.start_workers(*flags, run=killed.name)

    for number in range(1, kills + 1):
        before = newest_step(killed)
        workers = start()
        seconds = random.uniform(4.0, 13.0)
        kill_after(random.choice(workers), seconds)
        for worker in workers:
            worker.communicate(timeout=120)
        after = newest_step(killed)
        print(f"kill {number:2d} after {seconds:4.1f} s: step {before} -> {after}", flush=True)
    for worker in start():
        output = worker.communicate()[0]
        assert worker.returncode == 0, output
    assert_same_bits(straight, killed, steps)
    assert_same_grids(straight, killed)
    print(f"{kills} kills of {processes} process(es): equal to the last bit", flush=True)


def main() -> None:
    """Parses the command line and runs both soaks in a temporary folder."""
    arguments = parsed(
        __doc__,
        kills=(20, "kills of the one-process run"),
        worker_kills=(5, "kills of one of two workers"),
        steps=(20_000, "length of the one-process run"),
        worker_steps=(3_000, "of the two-process run"),
    )
    with tempfile.TemporaryDirectory() as folder:
        command = command_on_20_images(Path(folder), xla=True)
        soak(command, arguments.kills, arguments.steps, processes=1)
        soak(command, arguments.worker_kills, arguments.worker_steps, processes=2)


if __name__ == "__main__":
    sys.exit(main())
