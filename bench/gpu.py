"""Our step beside PyTorch's on one GPU, without TensorFlow there.

  Where the trainer is installed, with jax: its compiled programs as StableHLO, into files
    python -m bench.gpu export --programs=runs/bench/programs

  On the machine with the GPU, with jax[cuda], optax and torch: the files, run by JAX's runtime
    python -m bench.gpu run --programs=runs/bench/programs --device=cuda

`--device=cpu` runs the same on a CPU. The candidates start from the same weights and must agree
first, as in the bench `step`. On a GPU all of them may compute products in TensorFloat-32.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from bench.agreement import compare
from bench.machine import describe
from bench.report import BenchResult, table
from bench.task import Task
from bench.timed_processes import Candidate

_PROGRAMS = flags.DEFINE_string("programs", "runs/bench/programs", "Folder of the files.")
_DEVICE = flags.DEFINE_enum("device", "cuda", ["cuda", "cpu"], "run: where.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "run: turns of each candidate.", lower_bound=1)
_TURN_SECONDS = flags.DEFINE_float("turn_seconds", 1.5, "run: how long a turn lasts.")

_TENSOR_FLOAT_TOLERANCE = 0.03  # 10 bits of mantissa, a few layers deep
_TORCH = "bench.peers.torch_peer:TorchPeer"


def main(argv: Sequence[str]) -> None:
    """Exports or runs."""
    actions = {"export": _export, "run": _run}
    if len(argv) != 2 or argv[1] not in actions:
        print("error: give export or run; see --help.", file=sys.stderr)
        sys.exit(2)
    actions[argv[1]]()


def run_programs(folder: str, device: str, rounds: int, turn_seconds: float) -> BenchResult:
    """Our exported programs against PyTorch.

    Args:
        folder: what `export` wrote.
        device: `cuda` or `cpu`.
        rounds: turns of each.
        turn_seconds: roughly how long a turn lasts.
    """
    import numpy as np

    fields: dict[str, Any] = json.loads(Path(folder, "task.json").read_text())
    filters = ("generator_filters", "discriminator_filters")
    task = Task(**fields | {name: tuple(fields[name]) for name in filters})
    with np.load(Path(folder, "state.npz")) as state:
        common = {"task": task, "images": state["images"]}
    exported = {"folder": folder, "platform": device}
    of_torch = common | {"device": device}
    candidates = [
        Candidate("ours", "bench.peers.exported_peer:ExportedPeer", common | exported),
        Candidate("PyTorch, eager", _TORCH, of_torch),
        Candidate("PyTorch, torch.compile", _TORCH, of_torch | {"compile_mode": "default"}),
    ]
    if device == "cuda":
        # JAX would take three quarters of the card's memory for itself.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        graphs = of_torch | {"compile_mode": "reduce-overhead"}
        candidates.append(Candidate("PyTorch, CUDA graphs", _TORCH, graphs))
    tolerance = 1e-3 if device == "cpu" else _TENSOR_FLOAT_TOLERANCE
    return compare(candidates, task, rounds, turn_seconds, tolerance)


def _export() -> None:
    # Here alone TensorFlow is needed.
    from bench.export_programs import export_programs
    from bench.step import resident_batch
    from configs.mnist import get_config

    config = get_config()
    batch = resident_batch(config.train.global_batch_size)
    export_programs(config, _PROGRAMS.value, batch)
    print(_PROGRAMS.value)


def _run() -> None:
    result = run_programs(_PROGRAMS.value, _DEVICE.value, _ROUNDS.value, _TURN_SECONDS.value)
    print(table({f"gpu ({_DEVICE.value})": result}, describe()))


if __name__ == "__main__":
    app.run(main)
