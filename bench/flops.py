"""Floating-point operations of one step, counted by hand and from XLA's programs.

Counted are multiplications and additions of convolutions and matrix products, 2 for each pair of
an input and a weight that meet. Pairs with the zeros of a padding, or of a stride spread out, do
not count, nor do activations, normalisations, random numbers and the optimizers.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator

from bench.task import BLOCK_KERNEL, OUTPUT_KERNEL, Task


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer of one network.

    The output, the gradient of the weights and the gradient of the input each take every
    product of the layer once: 2 * products operations an image.
    """

    products: int


def dense(inputs: int, outputs: int) -> Layer:
    """A matrix product."""
    return Layer(inputs * outputs)


def convolution(pixels: int, kernel: int, stride: int, inputs: int, outputs: int) -> Layer:
    """A square convolution with `same` padding; a transposed one has the same pairs.

    Args:
        pixels: a side of the larger image, the input's or the transposed one's output's.
        kernel: a side of the kernel.
        stride: divides `pixels`.
        inputs: channels.
        outputs: channels.
    """
    # Along a side, pixels / stride places have `kernel` taps each; what hangs over the edges
    # meets padding. The padding is kernel - stride in all, on each edge a half of it, and the
    # taps of a place hang over by whole strides: overhang, overhang - stride, ...
    places = pixels // stride
    before = (kernel - stride) // 2
    after = kernel - stride - before
    hanging = sum(range(before, 0, -stride)) + sum(range(after, 0, -stride))
    pairs = places * kernel - hanging
    return Layer(pairs**2 * inputs * outputs)


def generator_layers(task: Task) -> list[Layer]:
    """G's dense layer, transposed convolutions and last convolution."""
    filters, base = task.generator_filters, task.base
    blocks = [
        convolution(base * 2**number, BLOCK_KERNEL, 2, before, after)
        for number, (before, after) in enumerate(itertools.pairwise(filters), start=1)
    ]
    return [
        dense(task.latent_dim, base**2 * filters[0]),
        *blocks,
        convolution(task.resolution, OUTPUT_KERNEL, 1, filters[-1], 1),
    ]


def discriminator_layers(task: Task) -> list[Layer]:
    """D's convolutions and its dense unit."""
    channels = (1, *task.discriminator_filters)
    blocks = [
        convolution(task.resolution // 2**number, BLOCK_KERNEL, 2, before, after)
        for number, (before, after) in enumerate(itertools.pairwise(channels))
    ]
    return [*blocks, dense(task.last**2 * channels[-1], 1)]


def of_step(task: Task) -> int:
    """Operations of D's update and G's, of networks and updates as in configs/mnist.py."""
    assert not (
        task.generator_dense_units
        or task.discriminator_stem_filters
        or task.discriminator_dense_units
    )
    assert task.penalty == "none" and task.discriminator_steps == 1
    generator, discriminator = generator_layers(task), discriminator_layers(task)
    forward_g = sum(layer.products for layer in generator)
    forward_d = sum(layer.products for layer in discriminator)
    # Nobody needs the gradient of what a network is given: the first layer has one pass less.
    backward_g = 2 * forward_g - generator[0].products
    backward_d = 2 * forward_d - discriminator[0].products
    discriminator_update = forward_g + 2 * (forward_d + backward_d)  # real and generated images
    # Through D, whose weights stay, down to the images.
    generator_update = forward_g + forward_d + forward_d + backward_g
    return 2 * task.batch_size * (discriminator_update + generator_update)


_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_SHAPE = re.compile(r"\w+\[([\d,]*)\]")


def of_hlo(text: str) -> int:
    """Operations of the convolutions and dots that the result of an HLO module depends on.

    Args:
        text: before XLA's optimizations, after which some are calls of libraries.
    """
    return sum(
        _dot(line) if kind == "dot" else _convolution(line)
        for kind, line in _live_instructions(text)
        if kind in ("dot", "convolution")
    )


def _live_instructions(text: str) -> Iterator[tuple[str, str]]:
    """Kind and line of every instruction that the entry's root needs; each computation once."""
    lines, kinds, roots = {}, {}, {}
    computation = entry = ""
    for line in text.splitlines():
        if line.rstrip().endswith("{") and not line.startswith("HloModule"):
            computation = line.removeprefix("ENTRY ").split()[0].lstrip("%").split("(")[0]
            entry = computation if line.startswith("ENTRY") else entry
        elif found := _INSTRUCTION.match(line):
            name, _, kind, _ = found.groups()
            lines[name], kinds[name] = line, kind
            if line.lstrip().startswith("ROOT"):
                roots[computation] = name
    waiting, seen = [roots[entry]], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield kinds[name], lines[name]
        mentioned = re.findall(r"%([\w.\-]+)", lines[name].partition(" = ")[2])
        waiting += [
            roots.get(other, other) for other in mentioned if roots.get(other, other) in lines
        ]


def _shapes(line: str) -> list[list[int]]:
    """Of the result, then of the operands."""
    head = line.partition("), ")[0]
    return [[int(n) for n in shape.split(",") if n] for shape in _SHAPE.findall(head)]


def _dot(line: str) -> int:
    result, left, _ = _shapes(line)[:3]
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line)
    assert contracted, line
    inner = [left[int(index)] for index in contracted[1].split(",") if index]
    return 2 * math.prod(result) * math.prod(inner)


def _convolution(line: str) -> int:
    result, image, kernel = _shapes(line)[:3]
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", line)
    assert labels, line
    of_image, of_kernel, of_result = labels.groups()
    pairs = 1
    for dimension in "0123":
        if dimension not in of_image:
            break
        axis = int(dimension)
        pairs *= _pairs(
            image[of_image.index(dimension)],
            kernel[of_kernel.index(dimension)],
            result[of_result.index(dimension)],
            stride=_window(line, "stride", axis, "1"),
            before=_window(line, "pad", axis, "0_0"),
            spread=_window(line, "lhs_dilate", axis, "1"),
            tap_spread=_window(line, "rhs_dilate", axis, "1"),
        )
    channels = kernel[of_kernel.index("i")] * kernel[of_kernel.index("o")]
    return 2 * pairs * channels * image[of_image.index("b")]


def _window(line: str, name: str, axis: int, default: str) -> int:
    """A field of `window={...}` along one axis; of `pad`, what comes before."""
    found = re.search(rf"window=\{{[^}}]*\b{name}=([\dx_\-]+)", line)
    values = found[1].split("x") if found else [default] * (axis + 1)
    return int(values[axis].split("_")[0])


def _pairs(
    pixels: int,
    taps: int,
    places: int,
    *,
    stride: int,
    before: int,
    spread: int,
    tap_spread: int,
) -> int:
    """Along one axis, how often a tap meets a pixel, no padding and no hole."""
    count = 0
    for place in range(places):
        for tap in range(taps):
            position = place * stride + tap * tap_spread - before
            count += position % spread == 0 and 0 <= position // spread < pixels
    return count
