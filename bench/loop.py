"""loop: the training loop as users run it, over the bare step on one resident batch.

A little more than an epoch of configs/mnist.py by the command line, with its own input, metrics,
TensorBoard, checkpoints and grids, but no evaluation (bench/evaluate.py). The set is half of MNIST,
so that an epoch is short; grids come twice as often as they do there. The bare step runs
before and after, in a process that sleeps meanwhile. Seconds are the phases in metrics.jsonl, so
neither the first step, which compiles, is among them, nor what follows the last line there: the
last grid and checkpoint, the final pictures, the report.
"""

import statistics

from bench.agreement import OURS
from bench.records import made
from bench.report import BenchResult, Row
from bench.runs import train
from bench.step import ours
from bench.timed_processes import TimedProcesses
from configs.mnist import get_config
from trainer.run.phases import seconds_by_phase

_STEPS = 550  # the epoch's grid and a checkpoint, both after step 500, lie before the last line


def run(quick: bool) -> BenchResult:
    """One run; bare steps before and after."""
    config = get_config()
    fields: dict[str, object] = {
        "data.records_dir": made(32_000),
        "evaluation.every_epochs": 0,
        "train.steps": _STEPS,
    }
    if quick:
        every = {"train.checkpoint_every_steps": 20, "train.log_every_steps": 2}
        fields |= every | {"train.steps": 45}
    bare_steps, bursts = (5, 1) if quick else (10, 4)
    with TimedProcesses([ours(config)]) as processes:
        processes.call_one(OURS, "run", 1)  # compiles
        before = [processes.call_one(OURS, "run", bare_steps) for _ in range(bursts)]
        (first, *lines), _ = train(fields)
        after = [processes.call_one(OURS, "run", bare_steps) for _ in range(bursts)]
    seconds = seconds_by_phase(lines)
    total = sum(seconds.values())
    speed = (lines[-1]["step"] - first["step"]) * config.images_per_step / total
    bare = [
        bare_steps * config.images_per_step / statistics.median(of_bursts)
        for of_bursts in (before, after)
    ]
    return BenchResult(
        [
            Row.of("the whole loop", [speed], "images/s"),
            Row.of("the whole loop / the bare step, before and after", [speed / b for b in bare]),
            *(
                Row.of(f"share of {phase} in the loop", [100 * of_phase / total], "%")
                for phase, of_phase in seconds.items()
            ),
        ],
        {
            "seconds": seconds,
            "loop_images_per_second": speed,
            "bare_seconds": {"before": before, "after": after, "steps": bare_steps},
        },
    )
