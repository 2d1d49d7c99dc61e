"""Memory over a long training, and of a large evaluation.

  python -m tests.memory --steps=20000 --samples=50000

trains the tiny config and looks at the resident size of the process: from step 2,000 on it must
stay within 2% (`/proc`, so on Linux only). Then it evaluates the run with `--samples` images, which
must take at most 2 GiB. Exit code 0: both held.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.helpers.command import Command
from tests.helpers.examples import prepared
from tests.helpers.soak import parsed
from trainer.run.metrics_file import read_metrics

SETTLED_STEPS = 2_000
GROWTH_AT_MOST = 0.02
GIB = 2**30


def resident_bytes(pid: int) -> int:
    """What a process holds in memory; 0 where it is gone."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def sizes_by_step(process: "subprocess.Popen[str]", run: Path) -> dict[int, int]:
    """Resident sizes during a run, by the last step that it told of."""
    sizes: dict[int, int] = {}
    while process.poll() is None:
        time.sleep(0.2)
        lines, size = read_metrics(str(run)), resident_bytes(process.pid)
        if lines and size:
            sizes[lines[-1]["step"]] = size
    return sizes


def training_grows(command: Command, steps: int) -> bool:
    """Trains; whether the resident size grows after it has settled."""
    flags = [f"--config.train.steps={steps}", "--config.train.log_every_steps=100"]
    flags += ["--config.train.checkpoint_every_steps=1000", "--config.train.grid_every_epochs=100"]
    with open(command.folder / "output.txt", "w") as output:
        process = command.start(*flags, output=output)
        sizes = sizes_by_step(process, command.folder / "run")
    assert process.returncode == 0, (command.folder / "output.txt").read_text()
    first = min(step for step in sizes if step >= SETTLED_STEPS)
    # After the very last, pictures and the report are drawn, with libraries of their own.
    last = max(step for step in sizes if step < steps)
    growth = sizes[last] / sizes[first] - 1
    print(
        f"resident at step {first}: {sizes[first] / 1e6:.0f} MB, "
        f"at step {last}: {sizes[last] / 1e6:.0f} MB, {growth:+.2%}",
        flush=True,
    )
    return growth > GROWTH_AT_MOST


def evaluation_is_large(command: Command, samples: int) -> bool:
    """Evaluates; whether its peak is beyond 2 GiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    started = time.monotonic()
    command.finish("--mode=evaluate", f"--count={samples}", seconds=3600)
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    is_of_evaluation = "" if peak > 1024 * before else "less than the training's "
    seconds = time.monotonic() - started
    print(f"peak of {samples} samples: {is_of_evaluation}{peak / GIB:.2f} GiB, {seconds:.0f} s")
    return peak > 2 * GIB


def main() -> int:
    """Parses the command line and runs both in a temporary folder."""
    arguments = parsed(
        __doc__, steps=(20_000, "of the training"), samples=(50_000, "of the evaluation")
    )
    with tempfile.TemporaryDirectory() as folder:
        shape = (2 * arguments.samples, 8, 8, 1)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        command = Command(Path(folder), prepared(Path(folder), images), xla=True)
        grows = training_grows(command, arguments.steps)
        return grows or evaluation_is_large(command, arguments.samples)


if __name__ == "__main__":
    sys.exit(main())
