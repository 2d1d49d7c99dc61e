"""limit: operations a second of our step, over those of a large matrix product.

The operations are those of the networks as they are written (bench/flops.py), not of the form
in which they are computed; both are also counted from XLA's programs.
"""

import importlib
import time
from typing import Any

from bench import flops
from bench.agreement import OURS
from bench.programs import Programs
from bench.report import BenchResult, Row
from bench.step import ours
from bench.task import Task
from bench.timed_processes import Candidate, FailedError, TimedProcesses, fastest, ratios
from configs.mnist import get_config

_SIZE = 2048


class MatrixProduct:
    """A square float32 product by one library, [2048, 2048] each."""

    def __init__(self, library: str) -> None:
        self.multiply, self.finish = getattr(self, f"_{library}")(_random())

    def run(self, products: int) -> float:
        """Seconds of some products, one after the other."""
        started = time.perf_counter()
        for _ in range(products):
            result = self.multiply()
        self.finish(result)
        return time.perf_counter() - started

    @staticmethod
    def _numpy(matrix: Any) -> tuple[Any, Any]:
        return lambda: matrix @ matrix, lambda result: result

    @staticmethod
    def _tensorflow(matrix: Any) -> tuple[Any, Any]:
        tf = importlib.import_module("tensorflow")
        operand = tf.constant(matrix)
        product = tf.function(tf.matmul, jit_compile=True)
        return lambda: product(operand, operand), lambda result: result[0, 0].numpy()

    @staticmethod
    def _torch(matrix: Any) -> tuple[Any, Any]:
        torch = importlib.import_module("torch")
        operand = torch.from_numpy(matrix)
        return lambda: operand @ operand, lambda result: result[0, 0].item()


def _random() -> Any:
    numpy = importlib.import_module("numpy")
    return numpy.random.default_rng(0).standard_normal((_SIZE, _SIZE), numpy.float32)


def count(config: Any) -> dict[str, int]:
    """Operations of a step: by hand, and in XLA's programs of both forms.

    Raises:
        FailedError: by hand and by XLA do not agree on the plain form.
    """
    by_hand = flops.of_step(Task.of(config))
    with TimedProcesses(
        [Candidate("programs", "bench.programs:Programs", {"config": config})]
    ) as processes:
        plain, unit_stride = (
            processes.call_one("programs", Programs.flops.__name__, form)
            for form in ("plain", "unit_stride")
        )
    if by_hand != plain:
        raise FailedError(f"{by_hand} operations by hand, {plain} in XLA's plain programs")
    return {"by_hand": by_hand, "plain_programs": plain, "unit_stride_programs": unit_stride}


def run(quick: bool) -> BenchResult:
    """Our step and three libraries' products, in turns of one second."""
    config = get_config()
    counted = count(config)
    candidates = [
        ours(config),
        *(
            Candidate(library, "bench.limit:MatrixProduct", {"library": library})
            for library in ("numpy", "tensorflow", "torch")
        ),
    ]
    with TimedProcesses(candidates) as processes:
        rates = processes.measure(rounds=2 if quick else 5, turn_seconds=0.3 if quick else 1.0)
    of_step = [steps * counted["by_hand"] for steps in rates.pop(OURS)]
    products = {name: [n * 2 * _SIZE**3 for n in of] for name, of in rates.items()}
    best = fastest(products)
    return BenchResult(
        [
            Row.of("operations of our step", [rate / 1e9 for rate in of_step], "GFLOP/s"),
            Row.of(f"of a matrix product ({best})", [r / 1e9 for r in products[best]], "GFLOP/s"),
            Row.of("our step / the matrix product", ratios(of_step, products[best])),
        ],
        {"flops_a_step": counted, "flops_a_second": {OURS: of_step, **products}},
        [
            f"a step is {counted['by_hand'] / 1e9:.2f} GFLOP by hand and in XLA's program, "
            f"{counted['unit_stride_programs'] / 1e9:.2f} in the form computed on a CPU; "
            "convolutions and matrix products only."
        ],
    )
