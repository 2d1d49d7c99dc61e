"""python -m bench.launch FLAGS: `python -m trainer.main FLAGS` up to the first step, timed.

Prints one line of JSON, moments in seconds of `time.time()` and lengths in seconds, and ends the
process. TensorFlow's own log tells beside it what XLA compiled (bench/start.py reads both).
"""

import functools
import importlib.abc
import importlib.machinery
import json
import os
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

MARK = "startup: "
_TIMED = {
    "prepared_records": "data",
    "distributed_batches": "data",
    "build_gan": "building",
    "AdversarialStep": "building",
    "Checkpoints": "building",
    "QualityMonitor": "evaluator",
}


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function with a module as soon as it is imported."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self.name, self.then = name, then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The usual spec, its loader followed by `then`."""
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def execute_then(module: ModuleType) -> None:
            execute(module)
            self.then(module)

        spec.loader.exec_module = execute_then  # type: ignore[method-assign]
        return spec


def _watch(train: ModuleType) -> None:
    """Times what `trainer.train` calls on the way to its first step."""
    found: dict[str, float] = {"imported": time.time(), **dict.fromkeys(_TIMED.values(), 0.0)}

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments, **options)
            found[name] += time.perf_counter() - started
            return result

        return wrapper

    for function, name in _TIMED.items():
        setattr(train, function, timed(getattr(train, function), name))

    class FirstInterval(train.MetricsWindow):  # type: ignore[name-defined]
        def add(self, steps: Sequence[int], metrics: Any) -> None:
            super().add(steps, metrics)
            self.means()  # waits until the step is done
            found["first_step"] = self.clock() - self.started
            found["finished"] = time.time()
            print(f"{MARK}{json.dumps(found)}", flush=True)
            os._exit(0)

    train.MetricsWindow = FirstInterval  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.meta_path.insert(0, _AfterImport("trainer.train", _watch))
    runpy.run_module("trainer.main", run_name="__main__", alter_sys=True)
