"""Reads a program that XLA optimized for a TPU: which bytes move where, and how many are padding.

A TPU holds an array in tiles. `f32[64,28,28,64]{3,0,2,1:T(8,128)}` has its dimensions 3, 0, 2, 1
from the innermost to the outermost, and the innermost two are padded to multiples of 128 and 8:
64 channels take the room of 128. `S(1)` at the end says that it lies in the chip's on-chip
memory; without a number, in HBM.
"""

import dataclasses
import math
import re

_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_ARRAY = re.compile(r"\b(pred|bf16|[a-z]\d+[a-z0-9]*)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_COMPUTATION = re.compile(r"(ENTRY )?%([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
# They move nothing: names of arrays, or the end of what a `-start` began.
_FREE = ("parameter", "constant", "bitcast", "get-tuple-element", "tuple", "after-all")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array, as its layout places it."""

    shape: str
    """As HLO writes it, such as `f32[64,28,28,64]{3,0,2,1:T(8,128)}`."""
    logical_bytes: int
    padded_bytes: int
    in_hbm: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of a computation."""

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    called: tuple[str, ...]
    """Computations of a conditional, a loop or a call; not those of a fusion."""
    trip_count: int
    origin: str
    """The operation of TensorFlow that it comes from, or empty."""


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes that one run of a program moves on one chip; of conditionals, the larger branch."""

    hbm_bytes: float = 0.0
    all_reduce_bytes: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.hbm_bytes + other.hbm_bytes, self.all_reduce_bytes + other.all_reduce_bytes
        )

    def __mul__(self, factor: float) -> "Traffic":
        return Traffic(self.hbm_bytes * factor, self.all_reduce_bytes * factor)


class Program:
    """The instructions of an optimized program."""

    def __init__(self, text: str) -> None:
        """Parses HLO text as `to_string()` of a compiled module gives it."""
        self.computations: dict[str, list[Instruction]] = {}
        self.entry = ""
        current: list[Instruction] = []
        for line in text.splitlines():
            if header := _COMPUTATION.match(line):
                current = self.computations.setdefault(header[2], [])
                self.entry = header[2] if header[1] else self.entry
            elif instruction := _instruction(line):
                current.append(instruction)
        assert self.entry, "no entry computation"

    def traffic(self) -> Traffic:
        """What one run moves.

        An operand counts once for each instruction that reads it, as a whole unless a copy
        takes a slice of it.
        """
        return self._traffic_of(self.entry)

    def arrays(self) -> list[tuple[Array, str]]:
        """Every array that the entry computation takes or makes, with its origin."""
        return [
            (array, instruction.origin)
            for instruction in self.computations[self.entry]
            if instruction.opcode == "parameter" or not _is_free(instruction)
            for array in _made(instruction)
        ]

    def _traffic_of(self, computation: str) -> Traffic:
        instructions = {i.name: i for i in self.computations[computation]}
        return sum((self._moved(i, instructions) for i in instructions.values()), Traffic())

    def _moved(self, instruction: Instruction, known: dict[str, Instruction]) -> Traffic:
        inner = [self._traffic_of(name) for name in instruction.called]
        if instruction.opcode == "conditional":
            return max(inner, key=lambda traffic: traffic.hbm_bytes)
        if inner:
            return sum(inner, Traffic()) * instruction.trip_count
        if _is_free(instruction):
            return Traffic()
        read = [array for name in instruction.operands for array in known[name].results]
        made = _made(instruction)
        if instruction.opcode in ("copy-start", "slice-start"):
            # What is read has the size of what is made, though it may be part of a larger array.
            read = [dataclasses.replace(made[0], in_hbm=any(array.in_hbm for array in read))]
        is_sum = instruction.opcode in ("all-reduce", "all-reduce-start")
        return Traffic(
            hbm_bytes=sum(array.padded_bytes for array in (*read, *made) if array.in_hbm),
            all_reduce_bytes=sum(array.logical_bytes for array in read) if is_sum else 0,
        )


def parse_arrays(text: str) -> tuple[Array, ...]:
    """All arrays in a piece of HLO, such as the type of an instruction."""
    return tuple(_array(match) for match in _ARRAY.finditer(text))


def _array(match: re.Match[str]) -> Array:
    dtype, dimensions, order, place = (group or "" for group in match.groups())
    shape = [int(size) for size in dimensions.split(",") if size]
    digits = re.search(r"\d+", dtype)
    bits = _BITS.get(dtype) or int(digits[0] if digits else 0)
    physical = [shape[int(i)] for i in reversed(order.split(",")) if i] if order else shape
    tile = re.search(r"T\(([\d,]+)\)", place)
    if tile:
        sizes = [int(size) for size in tile[1].split(",")]
        physical = [1] * (len(sizes) - len(physical)) + physical
        for i, size in enumerate(sizes, len(physical) - len(sizes)):
            physical[i] = math.ceil(physical[i] / size) * size
    space = re.search(r"S\((\d+)\)", place)
    return Array(
        shape=match[0],
        logical_bytes=math.prod(shape) * bits // 8,
        padded_bytes=math.prod(physical) * bits // 8,
        in_hbm=space is None or space[1] == "0",
    )


def _instruction(line: str) -> Instruction | None:
    match = _INSTRUCTION.match(re.sub(r"/\*index=\d+\*/", "", line))
    if not match:
        return None
    name, result, opcode, rest = match.groups()
    operands, attributes = _split_at_closing_bracket(rest)
    called = re.findall(
        r"(?:to_apply|true_computation|false_computation|body|branch_computations)="
        r"(\{[^}]*\}|%[\w.\-]+)",
        attributes if opcode in ("conditional", "while", "call") else "",
    )
    trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', attributes)
    origin = re.search(r'op_name="([^"]*)"', attributes)
    return Instruction(
        name=name,
        opcode=opcode,
        results=parse_arrays(result),
        operands=tuple(re.findall(r"%([\w.\-]+)", operands)),
        called=tuple(re.findall(r"%([\w.\-]+)", " ".join(called))),
        trip_count=int(trips[1]) if trips else 1,
        origin=origin[1] if origin else "",
    )


def _split_at_closing_bracket(text: str) -> tuple[str, str]:
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth:
            return text[:place], text[place + 1 :]
    return text, ""


def _is_free(instruction: Instruction) -> bool:
    return instruction.opcode in _FREE or instruction.opcode.endswith("-done")


def _made(instruction: Instruction) -> tuple[Array, ...]:
    """The results, without the operands and tickets that a `-start` repeats among them."""
    if instruction.opcode == "copy-start":
        return instruction.results[:1]
    if instruction.opcode == "slice-start":
        return instruction.results[1:2]
    return instruction.results
