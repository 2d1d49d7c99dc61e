"""TPU chips, their topologies, and the least time that a step takes on them: arithmetic only.

Sources, read 2026-11-23: https://docs.cloud.google.com/tpu/docs/v5e,
https://docs.cloud.google.com/tpu/docs/v5p and https://docs.cloud.google.com/tpu/docs/v6e.
"""

import dataclasses
import difflib
import math
import re

from trainer.errors import UserError

_GIB = 2**30
_FLAT_SHAPES = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip's published limits."""

    flops_per_second: float
    """Of bfloat16 products; float32 ones are made of bfloat16 by default and not faster."""
    hbm_bytes: float
    hbm_bytes_per_second: float
    interconnect_bytes_per_second: float
    """Out of the chip over all its links; half of what the documentation calls bidirectional."""
    shapes: tuple[str, ...]
    """Topologies that the documentation lists, up to 256 chips."""


CHIPS = {
    "v5e": Chip(197e12, 16 * _GIB, 819e9, 200e9, _FLAT_SHAPES),
    "v5p": Chip(
        459e12,
        95 * _GIB,
        2765e9,
        600e9,
        ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8"),
    ),
    "v6e": Chip(918e12, 32 * _GIB, 1638e9, 400e9, _FLAT_SHAPES),
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips of one kind, joined in a mesh."""

    name: str
    """Such as `v5e:2x2`."""
    chip: Chip
    num_chips: int


def parse_topology(name: str) -> Topology:
    """Reads a name such as `v5e:2x2`.

    Raises:
        UserError: there is no such topology; lists those that there are.
    """
    kind, _, shape = name.partition(":")
    chip = CHIPS.get(kind)
    if chip is None or shape not in chip.shapes:
        known = [f"{kind}:{shape}" for kind, chip in CHIPS.items() for shape in chip.shapes]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? These would do:" if near else "these would do:"
        raise UserError(f"--topology={name!r} is none; {hint} {', '.join(known)}.")
    return Topology(name, chip, math.prod(int(side) for side in re.findall(r"\d+", shape)))


@dataclasses.dataclass(frozen=True)
class Roofline:
    """The least seconds of a step, by what could bound it (Williams et al. 2009, "Roofline").

    All three at their published peak and at the same time: a limit, not a promise.
    """

    compute_seconds: float
    memory_seconds: float
    interconnect_seconds: float

    @property
    def bound(self) -> str:
        """`compute`, `memory` or `interconnect`: the one that takes longest."""
        parts = ("compute", "memory", "interconnect")
        return max(parts, key=lambda part: getattr(self, f"{part}_seconds"))

    @property
    def seconds(self) -> float:
        """The largest of the three."""
        return max(self.compute_seconds, self.memory_seconds, self.interconnect_seconds)


def roofline(
    chip: Chip, num_chips: int, flops: float, hbm_bytes: float, all_reduce_bytes: float
) -> Roofline:
    """The limit of a step; FLOPs and bytes are of one chip.

    `all_reduce_bytes` are of the tensors that are added up over the chips. However it is done, a
    chip sends 2 (n - 1) / n of them (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce
    algorithms for clusters of workstations").
    """
    sent = 2 * (num_chips - 1) / num_chips * all_reduce_bytes
    return Roofline(
        compute_seconds=flops / chip.flops_per_second,
        memory_seconds=hbm_bytes / chip.hbm_bytes_per_second,
        interconnect_seconds=sent / chip.interconnect_bytes_per_second,
    )
