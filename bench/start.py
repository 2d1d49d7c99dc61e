"""start: seconds from the start of the trainer's imports to the end of the first step, by phase.

Cold, and with programs that a run before has left in a compile cache. configs/mnist.py evaluates
after every epoch; `evaluator` is what preparing that takes, the scores of real images above all.
Python's own start and the reading of the flags, half a second, come before.
"""

import re
import tempfile
from collections.abc import Mapping
from typing import Any

from bench.records import mnist_or_alike
from bench.report import BenchResult, Row
from bench.runs import train
from trainer.run.phases import seconds_by_phase

_COMPILED = re.compile(r"Compiled \S+ \d+ times, compile time: (\d+) us")
_LOG_COMPILATIONS = {
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_CPP_VMODULE": "device_compilation_profiler=1",
}


def run(quick: bool) -> BenchResult:
    """Alternating launches."""
    fields = {"data.records_dir": mnist_or_alike(), "train.steps": 1}
    found: dict[str, list[dict[str, float]]] = {"cold": [], "warm cache": []}
    with tempfile.TemporaryDirectory() as cache:
        flags = {"cold": [], "warm cache": [f"--compile_cache={cache}"]}
        train(fields, flags["warm cache"])  # fills it
        for _ in range(1 if quick else 2):
            for kind in found:
                lines, printed = train(fields, flags[kind], _LOG_COMPILATIONS)
                found[kind].append(parts_of(lines[0], printed))
    rows = [
        Row.of(f"{kind}: {part}", [parts[part] for parts in launches], "s")
        for kind, launches in found.items()
        for part in launches[0]
    ]
    return BenchResult(rows, {"seconds": found})


def parts_of(line: Mapping[str, Any], log: str) -> dict[str, float]:
    """What the time to the first step went into, in seconds.

    Args:
        line: the first of metrics.jsonl.
        log: TensorFlow's, which tells what of the first step was compiling; the rest is tracing.
            Where it is silent, the two are one.
    """
    seconds = dict(seconds_by_phase([line]))
    parts = {"first step after": sum(seconds.values())}
    first_step = seconds.pop("first_step")
    seconds.pop("steps", None)  # microseconds between two phases
    compiling = sum(int(microseconds) for microseconds in _COMPILED.findall(log)) / 1e6
    if not compiling:
        return parts | seconds | {"tracing and compiling": first_step}
    return parts | seconds | {"tracing": first_step - compiling, "compiling": compiling}
