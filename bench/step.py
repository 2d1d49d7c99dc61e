"""step: our compiled step against other frameworks' on the same task.

The networks, the batch, the initial weights and the update rule are those of configs/mnist.py for
all; what a candidate must agree on before it is timed is in bench/peers/peer.py.
"""

import numpy as np

from bench.agreement import OURS, compare
from bench.report import BenchResult
from bench.task import Task
from bench.timed_processes import Candidate, TimedProcesses
from configs.mnist import get_config
from trainer.data.sources import open_source

_TORCH = "bench.peers.torch_peer:TorchPeer"
_KERAS = "bench.peers.keras_peers"


def candidates(task: Task, images: np.ndarray) -> list[Candidate]:
    """Ours first, then the peers."""
    common = {"task": task, "images": images}
    return [
        ours(images),
        Candidate("PyTorch, eager", _TORCH, common),
        Candidate("PyTorch, eager, channels last", _TORCH, common | {"channels_last": True}),
        Candidate("PyTorch, torch.compile", _TORCH, common | {"compile_mode": "default"}),
        Candidate("JAX and Flax, jit", "bench.peers.jax_peer:JaxPeer", common),
        Candidate("Keras, fit with jit_compile", f"{_KERAS}:KerasFitPeer", common),
        Candidate("Keras in a tf.function", f"{_KERAS}:TfFunctionPeer", common),
        Candidate("Keras, train_on_batch", f"{_KERAS}:TrainOnBatchPeer", common),
    ]


def ours(
    images: np.ndarray, name: str = OURS, group_size: int = 0, logical_devices: int = 0
) -> Candidate:
    """Our own step on a batch, uint8 [B, 28, 28, 1]."""
    config = get_config()
    config.train.global_batch_size, config.train.group_size = len(images), group_size
    arguments = {
        "task": Task.of(config),
        "images": images,
        "config": config,
        "logical_devices": logical_devices,
    }
    return Candidate(name, "bench.peers.ours:on_this_machine", arguments)


def resident_batch(count: int) -> np.ndarray:
    """Real handwritten digits, uint8 [count, 28, 28, 1]."""
    digits = open_source("digits", None, None)
    examples = digits.examples()
    return np.stack([next(examples)[0] for _ in range(count)])


def run(quick: bool) -> BenchResult:
    """Rounds of turns of a second and a half."""
    task = Task.of(get_config())
    rounds, turn_seconds = (2, 0.3) if quick else (6, 1.5)
    with TimedProcesses(candidates(task, resident_batch(task.batch_size))) as processes:
        return compare(processes, task, rounds, turn_seconds)
