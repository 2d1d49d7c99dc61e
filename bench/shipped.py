"""shipped: images a second of the step of every file in configs/, one after the other.

The bare step, on images of noise: no input, no metrics. Configs that differ in their data and
evaluation alone are measured once. A turn is a second or one step, whichever is longer.
"""

import dataclasses
import importlib
from pathlib import Path

import numpy as np

from bench.report import BenchResult, Row
from bench.step import ours
from bench.timed_processes import TimedProcesses
from trainer.config import Config, DataConfig, EvaluationConfig

_FOLDER = Path(__file__).parent.parent / "configs"


def distinct(folder: Path = _FOLDER) -> dict[str, Config]:
    """Configs whose steps differ, under the names of all files that share one."""
    names: dict[str, list[str]] = {}
    configs = {}
    for path in sorted(folder.glob("*.py")):
        config = importlib.import_module(f"configs.{path.stem}").get_config()
        alike = dataclasses.replace(config, data=DataConfig(), evaluation=EvaluationConfig())
        names.setdefault(alike.to_json(), []).append(path.stem)
        configs[alike.to_json()] = config
    return {", ".join(files): configs[key] for key, files in names.items()}


def run(quick: bool) -> BenchResult:
    """Two turns of each, in a process of its own."""
    rows, details, notes = [], {}, []
    random = np.random.default_rng(0)
    for name, config in distinct().items():
        model, every = config.model, config.loss.penalty_every_steps
        pixels = (model.resolution, model.resolution, model.channels)
        images = random.integers(0, 256, (config.train.global_batch_size, *pixels), np.uint8)
        with TimedProcesses([ours(config, name, images)]) as processes:
            rates = processes.measure(1 if quick else 2, 0.1 if quick else 1.0, every)
        notes += [f"{name} is left out: {why}" for why in processes.failures.values()]
        for steps in rates.values():
            details[name] = [rate * config.images_per_step for rate in steps]
            rows.append(Row.of(name, details[name], "images/s"))
    return BenchResult(rows, {"images_per_second": details}, notes)
