"""scaling: the step over batch sizes and replicas; whole runs over workers and sets.

Replicas and workers share this machine's cores: what is measured is what one more of them costs,
not what more hardware brings.
"""

import concurrent.futures
import shutil

from bench.records import made
from bench.report import BenchResult, Row
from bench.runs import memory_of_training, speed_on_cores
from bench.step import ours
from bench.timed_processes import TimedProcesses, ratios
from configs.mnist import get_config
from trainer.cli import cpu
from trainer.config import Config

_GROUP = 64
_BATCHES = (16, 64, 256)
_SHARED_GROUP = 32  # so that a batch of 64 has two groups to share


def run(quick: bool) -> BenchResult:
    """Four tables in one."""
    return BenchResult.joined(
        {
            "images/s": _batches(quick),
            "images/s, batch 64": _replicas(quick),
            "workers": _workers(quick),
            "memory": _memory(quick),
        }
    )


def _config(batch: int, group: int) -> Config:
    config = get_config()
    config.train.global_batch_size, config.train.group_size = batch, group
    return config


def _batches(quick: bool) -> BenchResult:
    candidates = [ours(_config(batch, min(batch, _GROUP)), str(batch)) for batch in _BATCHES]
    with TimedProcesses(candidates) as processes:
        steps = processes.measure(rounds=2 if quick else 3, turn_seconds=0.3 if quick else 1.5)
    rates = {int(name): [rate * int(name) for rate in of] for name, of in steps.items()}
    rows = [
        Row.of(f"batch {batch} / batch 64", ratios(of, rates[64]))
        for batch, of in rates.items()
        if batch != 64
    ]
    return BenchResult(rows, {"by_batch": rates})


def _replicas(quick: bool) -> BenchResult:
    candidates = [
        ours(_config(64, _SHARED_GROUP), f"{replicas} replicas", logical_devices=replicas)
        for replicas in (1, 2)
    ]
    with TimedProcesses(candidates) as processes:
        steps = processes.measure(rounds=2 if quick else 4, turn_seconds=0.3 if quick else 1.5)
    one, two = steps.values()
    row = Row.of("2 logical CPUs / 1", ratios(two, one))
    return BenchResult([row], {"steps_per_second_by_replicas": steps})


def _workers(quick: bool) -> BenchResult:
    """Real runs, each worker on a core of its own; and two runs apart, which share nothing else."""
    if not shutil.which("taskset") or cpu.cores() < 2:
        return BenchResult([], {}, ["needs taskset and two cores"])
    records, steps = made(6_000), 12 if quick else 24

    def speed(workers: int, batch: int, group: int, first_core: int = 0) -> float:
        return speed_on_cores(
            records, first_core, steps=steps, workers=workers, batch=batch, group=group
        )

    def apart() -> float:
        with concurrent.futures.ThreadPoolExecutor(2) as both:
            return sum(both.map(lambda core: speed(1, _GROUP, _GROUP, core), range(2)))

    runs = {
        "one, two groups": lambda: speed(1, _GROUP, _SHARED_GROUP),
        "strong": lambda: speed(2, _GROUP, _SHARED_GROUP),
        "one": lambda: speed(1, _GROUP, _GROUP),
        "weak": lambda: speed(2, 2 * _GROUP, _GROUP),
        "apart": apart,
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 if quick else 2):
        for name, of in runs.items():
            rates[name].append(of())
    rows = [
        Row.of(f"efficiency of 2, {what}", ratios(rates[name], [2 * rate for rate in rates[base]]))
        for name, base, what in (
            ("strong", "one, two groups", "strong"),
            ("weak", "one", "weak"),
            ("apart", "one", "two runs that share the machine alone"),
        )
    ]
    return BenchResult(rows, {"images_per_second_of_workers": rates})


def _memory(quick: bool) -> BenchResult:
    """Resident memory of streaming runs that differ from the first in one thing."""
    few, many = (600, 6_000) if quick else (6_000, 60_000)
    steps = 20
    runs = {
        f"{few} images": memory_of_training(made(few), steps=steps),
        f"{many} images": memory_of_training(made(many), steps=steps),
        f"{few} images in 16 shards": memory_of_training(made(few, shards=16), steps=steps),
        f"{few} images, batch 256": memory_of_training(made(few), steps=steps // 2, batch=256),
    }
    names = list(runs)
    base = runs[names[0]]
    label = f"streaming {names[0]}, batch 64, 4 shards"
    rows = [Row.of(label, [base.resident_mib], "MiB")]
    rows += [
        Row.of(f"{name} / {names[0]}", [runs[name].resident_mib / base.resident_mib])
        for name in names[1:]
    ]
    return BenchResult(rows, {"memory_mib": {name: vars(found) for name, found in runs.items()}})
