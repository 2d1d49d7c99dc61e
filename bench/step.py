"""step: our step against other frameworks' on the same task, configs/mnist.py.

The networks, the batch, the initial weights and the update rule are the same for all; what a
candidate must agree on before it is timed is in bench/peers/peer.py. In bfloat16 too, where the CPU
has instructions for it: the peers that were the fastest in float32.
"""

import numpy as np

from bench.agreement import OURS, compare
from bench.report import BenchResult
from bench.task import Task
from bench.timed_processes import Candidate
from configs.mnist import get_config
from trainer.choices import Precision
from trainer.cli import cpu
from trainer.config import Config
from trainer.data.sources import open_source

TORCH = "bench.peers.torch_peer:TorchPeer"
KERAS = "bench.peers.keras_peers"
BFLOAT16_TOLERANCE = 0.05  # 8 bits of mantissa, a few layers deep


def ours(
    config: Config,
    name: str = OURS,
    images: np.ndarray | None = None,
    logical_devices: int = 0,
    one_core: bool = False,
) -> Candidate:
    """Our own step on a batch, uint8 [B, R, R, C]; left out: of real handwritten digits."""
    if images is None:
        images = resident_batch(config.train.global_batch_size)
    arguments = {"config": config, "images": images, "logical_devices": logical_devices}
    return Candidate(name, "bench.peers.ours:on_this_machine", arguments, one_core)


def peers(config: Config) -> list[Candidate]:
    """Those that know all that a config of the kind of configs/mnist.py asks for."""
    task = Task.of(config)
    common = {"task": task, "images": resident_batch(task.batch_size)}
    found = [
        Candidate("PyTorch, eager", TORCH, common),
        Candidate("PyTorch, eager, channels last", TORCH, common | {"channels_last": True}),
        Candidate("PyTorch, torch.compile", TORCH, common | {"compile_mode": "default"}),
        Candidate("Keras in a tf.function", f"{KERAS}:TfFunctionPeer", common),
    ]
    if task.precision == "float32":
        found += [
            Candidate("JAX and Flax, jit", "bench.peers.jax_peer:JaxPeer", common),
            Candidate("Keras, fit with jit_compile", f"{KERAS}:KerasFitPeer", common),
            Candidate("Keras, train_on_batch", f"{KERAS}:TrainOnBatchPeer", common),
        ]
    return found


def resident_batch(count: int) -> np.ndarray:
    """Real handwritten digits, uint8 [count, 28, 28, 1]."""
    digits = open_source("digits", None, None)
    examples = digits.examples()
    return np.stack([next(examples)[0] for _ in range(count)])


def run(quick: bool) -> BenchResult:
    """Rounds of turns of a second and a half."""
    rounds, turn_seconds = (2, 0.3) if quick else (5, 1.5)

    def measured(precision: Precision, tolerance: float) -> BenchResult:
        config = get_config()
        config.model.precision = precision
        candidates = [ours(config), *peers(config)]
        return compare(candidates, Task.of(config), rounds, turn_seconds, tolerance)

    parts = {"": measured("float32", 1e-3)}
    if cpu.has_fast_bfloat16():
        parts["bfloat16"] = measured("bfloat16", BFLOAT16_TOLERANCE)
    else:
        parts["bfloat16"] = BenchResult([], {}, ["left out: this CPU has no fast bfloat16"])
    return BenchResult.joined(parts)
