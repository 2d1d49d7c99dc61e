"""Draws a labelled set of colour pictures, where no set hub can be reached: ten kinds of shapes.

    python -m bench.draw_shapes --output=data/shapes.npz
    python -m trainer.data.prepare --source=npz:data/shapes.npz --output=data/shapes

Each picture, 32x32 in colour, has one shape of a random colour, size, place and angle before a
background that fades from one colour to another. Every picture is a function of the seed and its
number. It is a set for trying out what takes pictures of that shape, no benchmark.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw
from tqdm import tqdm

from trainer.storage.files import replacing

_OUTPUT = flags.DEFINE_string("output", None, "The .npz to write.", required=True)
_COUNT = flags.DEFINE_integer("count", 20_000, "Pictures.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Decides all random numbers.", lower_bound=0)

_SIDE, _OVERSAMPLING = 32, 4

Point = tuple[float, float]


def polygon(corners: int, inner: float = 1.0) -> list[Point]:
    """Corners on the unit circle; those between them, where `inner` is below 1, within it."""
    count = corners if inner == 1.0 else 2 * corners
    radii = [inner if inner < 1.0 and index % 2 else 1.0 for index in range(count)]
    angles = [2 * math.pi * index / count for index in range(count)]
    return [
        (radius * math.cos(angle), radius * math.sin(angle))
        for radius, angle in zip(radii, angles, strict=True)
    ]


SHAPES: dict[str, list[Point]] = {
    "disc": polygon(48),
    "triangle": polygon(3),
    "square": polygon(4),
    "pentagon": polygon(5),
    "bar": [(-1.0, -0.25), (1.0, -0.25), (1.0, 0.25), (-1.0, 0.25)],
    "arrow": [
        (1.0, 0.0),
        (0.0, 0.7),
        (0.0, 0.25),
        (-1.0, 0.25),
        (-1.0, -0.25),
        (0.0, -0.25),
        (0.0, -0.7),
    ],
    "cross": [
        *[(0.3, 1.0), (0.3, 0.3), (1.0, 0.3), (1.0, -0.3), (0.3, -0.3), (0.3, -1.0)],
        *[(-0.3, -1.0), (-0.3, -0.3), (-1.0, -0.3), (-1.0, 0.3), (-0.3, 0.3), (-0.3, 1.0)],
    ],
    "star of five": polygon(5, 0.4),
    "star of eight": polygon(8, 0.6),
    "bow": [(-1.0, -0.7), (1.0, 0.7), (1.0, -0.7), (-1.0, 0.7)],
}
"""Outlines within the unit circle or a little beyond, by name."""


def draw(corners: Sequence[Point], random: np.random.Generator) -> np.ndarray:
    """A picture of one shape, uint8 [32, 32, 3]."""
    side = _SIDE * _OVERSAMPLING
    first, second, color = random.integers(0, 256, (3, 3))
    angle, turn = random.uniform(0, 2 * math.pi, 2)
    radius = random.uniform(0.25, 0.42) * side
    center = side / 2 + random.uniform(-1, 1, 2) * (side / 2 - radius)

    places = np.linspace(-0.5, 0.5, side)
    slope = places[None, :] * math.cos(angle) + places[:, None] * math.sin(angle)
    share = np.clip(slope + 0.5, 0, 1)[..., None]
    picture = Image.fromarray(((1 - share) * first + share * second).astype(np.uint8))
    cosine, sine = radius * math.cos(turn), radius * math.sin(turn)
    outline = [
        (center[0] + x * cosine - y * sine, center[1] + x * sine + y * cosine) for x, y in corners
    ]
    ImageDraw.Draw(picture).polygon(outline, fill=tuple(int(value) for value in color))
    return np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BOX))


def main(argv: Sequence[str]) -> None:
    """Draws the pictures, each kind in turn, and writes them with their labels."""
    outlines = list(SHAPES.values())
    labels = np.arange(_COUNT.value, dtype=np.int64) % len(outlines)
    images = np.stack(
        [
            draw(outlines[label], np.random.default_rng([_SEED.value, number]))
            for number, label in enumerate(tqdm(labels, unit=" pictures", disable=None))
        ]
    )
    Path(_OUTPUT.value).parent.mkdir(parents=True, exist_ok=True)
    with replacing(_OUTPUT.value) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, images=images, labels=labels)


if __name__ == "__main__":
    app.run(main)
