"""libtpu's compiler, which needs no TPU."""

import dataclasses
import importlib.metadata
import os
import re
import time
from typing import Any

import numpy as np

from trainer.errors import UserError
from trainer.tpu.chips import Topology

# libtpu asks Google's metadata server what machine this is unless it is told; any answer does.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_LOG_DIR": "disabled",
    "JAX_PLATFORMS": "cpu",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Executable:
    """A compiled program and what its compiler says about it; bytes and FLOPs of one chip."""

    compile_seconds: float
    flops: float
    bytes_accessed: float
    """In and out of every operation, padding included, wherever they lie: XLA's own count."""
    hbm_parts_bytes: dict[str, int]
    """`aliased`: of the outputs that take the place of arguments."""
    hlo: str
    """The optimized program, as text."""

    @property
    def peak_bytes(self) -> int:
        """Of HBM."""
        return sum(self.hbm_parts_bytes.values()) - 2 * self.hbm_parts_bytes["aliased"]


def check_installed() -> str:
    """The versions of jax and libtpu.

    Raises:
        UserError: one of them is missing.
    """
    try:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "libtpu"))
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            f"--mode=preflight needs {error.name}, which is not installed: "
            "pip install jax jaxlib libtpu."
        ) from None


class Compiler:
    """Compiles for one topology; may be used by several threads at once."""

    def __init__(self, topology: Topology) -> None:
        """Loads libtpu, which takes a second."""
        os.environ.update(_ENVIRONMENT)
        from jax.experimental import topologies

        self.topology = topology
        self._devices: list[Any] = topologies.get_topology_desc(topology.name, "tpu").devices

    def compile(self, program: bytes, num_replicas: int) -> Executable:
        """Compiles a serialized StableHLO module, for one replica on each of the first chips.

        Raises:
            UserError: it does not fit, or the compiler refuses it.
        """
        import jax
        from jaxlib import xla_client

        devices = self._devices[:num_replicas]
        options = xla_client.CompileOptions()
        options.num_replicas = num_replicas
        options.device_assignment = xla_client.DeviceAssignment.create(
            np.array([[device.id] for device in devices])
        )
        started = time.monotonic()
        try:
            executable = devices[0].client.compile(
                _module(program),
                executable_devices=xla_client.DeviceList(tuple(devices)),
                compile_options=options,
            )
        except jax.errors.JaxRuntimeError as error:
            raise UserError(_refusal(self.topology, str(error))) from error
        costs, memory = executable.cost_analysis(), executable.get_compiled_memory_stats()
        return Executable(
            compile_seconds=time.monotonic() - started,
            flops=costs["flops"],
            bytes_accessed=costs["bytes accessed"],
            hbm_parts_bytes={
                "arguments": memory.argument_size_in_bytes,
                "outputs": memory.output_size_in_bytes,
                "aliased": memory.alias_size_in_bytes,
                "temporaries": memory.temp_size_in_bytes,
                "program": memory.generated_code_size_in_bytes,
            },
            hlo=executable.hlo_modules()[0].to_string(),
        )


def _module(program: bytes) -> Any:
    from jax.extend.mlir.dialects import stablehlo
    from jax.interpreters.mlir import make_ir_context

    module = stablehlo.deserialize_portable_artifact(make_ir_context(), program)
    # TensorFlow copies results that it means to write to variables, by an operation that is
    # not StableHLO. The compiler refuses it, and knows itself where a copy is needed.
    for function in module.body.operations:
        for operation in list(function.regions[0].blocks[0].operations):
            if operation.operation.name == "mhlo.copy":
                operation.results[0].replace_all_uses_with(operation.operands[0])
                operation.operation.erase()
    return module


def _refusal(topology: Topology, reason: str) -> str:
    """One sentence for what the compiler says in many lines."""
    if "RESOURCE_EXHAUSTED" in reason:
        sizes = re.search(r"\((\S+)\) exceeds available HBM \((\S+)\)", reason)
        needed = f"{sizes[1]} needed, {sizes[2]} there" if sizes else reason.splitlines()[0]
        return (
            f"the step does not fit into the memory of one chip of {topology.name} ({needed}): "
            "give fewer images a chip (--config.train.global_batch_size, a larger --topology) or "
            "fewer filters."
        )
    return f"the compiler of {topology.name} refuses the step: {reason.splitlines()[0]}"
