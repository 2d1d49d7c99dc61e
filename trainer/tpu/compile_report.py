"""What a compiled step takes of a chip, and how fast it could be at most."""

import dataclasses

from trainer.tpu.chips import Roofline, Topology, roofline
from trainer.tpu.compiler import Executable
from trainer.tpu.hlo import Array, Program

_WORST_ARRAYS = 5


@dataclasses.dataclass(frozen=True)
class Padding:
    """What the tiles of a TPU add to arrays; bytes."""

    logical_bytes: int
    """Of all arrays that the step takes or makes."""
    padded_bytes: int
    """What they take up."""
    worst: list[dict[str, str | int]]
    """The arrays with the most padding, one of each shape: shape, origin, bytes."""


@dataclasses.dataclass(frozen=True)
class CompileReport:
    """One step as it was compiled; every count is of one chip and one step.

    With a penalty that is not part of every step, FLOPs and bytes are means over the steps,
    and memory and padding are those of a step with it.
    """

    name: str
    num_chips: int
    images_per_chip: int
    """Real ones, over all updates of D."""
    groups_per_chip: int
    compile_seconds: float
    flops: float
    bytes_accessed: float
    """XLA's own count: in and out of every operation, padding included, on-chip memory too."""
    hbm_bytes_moved: float
    """The part of it that passes through HBM."""
    all_reduce_bytes: float
    peak_hbm_bytes: int
    hbm_parts_bytes: dict[str, int]
    """Add up to the peak, but for `aliased`, which is taken off."""
    padding: Padding
    roofline: Roofline

    @property
    def images_per_second_at_most(self) -> float:
        """Of all its chips together, at the roofline."""
        return self.images_per_chip * self.num_chips / self.roofline.seconds


def compile_report(
    name: str,
    topology: Topology,
    num_chips: int,
    batch: tuple[int, int],
    executables: tuple[Executable, ...],
    share_of_first: float = 1.0,
) -> CompileReport:
    """Reads the figures out of what was compiled.

    Args:
        name: of the report.
        topology: what it was compiled for.
        num_chips: how many of its chips work together.
        batch: images and groups of one chip in one step.
        executables: the step; or the step with a penalty and without.
        share_of_first: how many of the steps are the first of two.
    """
    first = executables[0]
    programs = [Program(executable.hlo) for executable in executables]
    traffics = [program.traffic() for program in programs]

    def mean(values: list[float]) -> float:
        return share_of_first * values[0] + (1 - share_of_first) * values[-1]

    flops = mean([executable.flops for executable in executables])
    hbm_bytes = mean([traffic.hbm_bytes for traffic in traffics])
    all_reduce_bytes = mean([traffic.all_reduce_bytes for traffic in traffics])
    return CompileReport(
        name=name,
        num_chips=num_chips,
        images_per_chip=batch[0],
        groups_per_chip=batch[1],
        compile_seconds=sum(executable.compile_seconds for executable in executables),
        flops=flops,
        bytes_accessed=mean([executable.bytes_accessed for executable in executables]),
        hbm_bytes_moved=hbm_bytes,
        all_reduce_bytes=all_reduce_bytes,
        peak_hbm_bytes=first.peak_bytes,
        hbm_parts_bytes=first.hbm_parts_bytes,
        padding=_padding(programs[0].arrays()),
        roofline=roofline(topology.chip, num_chips, flops, hbm_bytes, all_reduce_bytes),
    )


def _padding(arrays: list[tuple[Array, str]]) -> Padding:
    by_waste = sorted(arrays, key=lambda a: a[0].logical_bytes - a[0].padded_bytes)
    one_a_shape = {array.shape: (array, origin) for array, origin in reversed(by_waste)}
    worst = sorted(one_a_shape.values(), key=lambda a: a[0].logical_bytes - a[0].padded_bytes)[
        :_WORST_ARRAYS
    ]
    return Padding(
        logical_bytes=sum(array.logical_bytes for array, _ in arrays),
        padded_bytes=sum(array.padded_bytes for array, _ in arrays),
        worst=[
            {
                "shape": array.shape,
                "origin": origin,
                "logical_bytes": array.logical_bytes,
                "padded_bytes": array.padded_bytes,
            }
            for array, origin in worst
        ],
    )
