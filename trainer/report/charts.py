"""Charts of lines over the epochs, as the numbers that the macro `line_chart` draws as SVG."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from trainer.report.formats import number

Point = tuple[float, float | None]
"""An epoch and the value there; None leaves a gap in the line."""

COLOURS = 7
"""The style sheet has the classes c0 to c6, 12 or more apart in CIELAB also to the colour-blind."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 388, 24, 194  # of a drawing of 400 by 230
_TICKS = 5
_DRAWN_POINTS = 800
_MARKED_POINTS = 40
_HOVER_STRIPS = 80


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart."""

    label: str
    colour: int
    points: Sequence[Point]
    floor: float | None = None
    """Drawn as a dashed line: the value that real images reach."""
    spread: Mapping[float, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """Of a mean, drawn as a band: the lowest and the highest value, by the epoch of each point."""
    singles: Sequence[Sequence[Point]] = ()
    """The lines that the points are the mean of, drawn thin, where the reader asks for them."""

    @property
    def finite(self) -> list[tuple[float, float]]:
        """The points that have a value."""
        return [(epoch, value) for epoch, value in self.points if value is not None]

    @property
    def values(self) -> list[float]:
        """All that is drawn: the points, or the lines that they are the mean of."""
        lines = self.singles or [self.points]
        return [value for line in lines for _, value in line if value is not None]

    @property
    def marked(self) -> list[tuple[float, float]]:
        """The points that are drawn as dots: all where they are few."""
        return self.finite if len(self.finite) <= _MARKED_POINTS else []


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range of values on a range of pixels of the drawing."""

    low: float
    high: float
    step: float
    first_pixel: float
    last_pixel: float

    def pixel(self, value: float) -> float:
        """Where a value is drawn: at the edge if it lies beyond."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.first_pixel + share * (self.last_pixel - self.first_pixel), 1)

    def ticks(self) -> list[tuple[float, float]]:
        """The multiples of the step inside the range, and where they are drawn."""
        # The ends may be such multiples but for rounding.
        first = math.ceil(self.low / self.step - 1e-6)
        last = math.floor(self.high / self.step + 1e-6)
        ticks = [index * self.step for index in range(first, last + 1)]
        return [(tick, self.pixel(tick)) for tick in ticks]


@dataclasses.dataclass(frozen=True)
class Chart:
    """Lines over the epochs, each of which has a value."""

    title: str
    unit: str
    lines: list[Series]
    has_names: bool
    """Whether the legend names the lines."""
    x: Axis
    y: Axis
    floors: list[float]
    beyond: list[float]
    """The lowest and the highest value, if they lie beyond the axis."""

    @property
    def has_bands(self) -> bool:
        """Whether a line is a mean with its spread."""
        return any(line.spread for line in self.lines)

    def path(self, points: Sequence[Point]) -> str:
        """A line as the commands of an SVG path."""
        path, pen_down = [], False
        for epoch, value in thinned(points, _DRAWN_POINTS):
            if value is not None:
                # h0: a point between two gaps becomes a dot.
                command = "L" if pen_down else "M"
                path.append(f"{command}{self.x.pixel(epoch)} {self.y.pixel(value)}h0")
            pen_down = value is not None
        return "".join(path)

    def band(self, line: Series) -> str:
        """The spread of a line as the commands of an SVG path, a closed piece between two gaps."""
        pieces = []
        for is_gap, stretch in itertools.groupby(line.points, lambda point: point[1] is None):
            epochs = [epoch for epoch, _ in stretch]
            if is_gap or not line.spread:
                continue
            low, high = (
                thinned([(epoch, line.spread[epoch][end]) for epoch in epochs], _DRAWN_POINTS)
                for end in (0, 1)
            )
            corners = [(x, y) for x, y in (*high, *reversed(low)) if y is not None]
            drawn = (f"{self.x.pixel(epoch)} {self.y.pixel(value)}" for epoch, value in corners)
            pieces.append(f"M{'L'.join(drawn)}Z")
        return "".join(pieces)

    def strips(self) -> list[tuple[float, float, str]]:
        """Left edge, width, and a text about the values there, to show under the mouse."""
        count = min(_HOVER_STRIPS, max(len(line.finite) for line in self.lines))
        values: list[dict[str, tuple[float, str]]] = [{} for _ in range(count)]
        for line in self.lines:
            for epoch, value in line.finite:
                strip = int(count * (epoch - self.x.low) / (self.x.high - self.x.low))
                values[min(strip, count - 1)][line.label] = (epoch, _shown(line, epoch, value))
        width = (_RIGHT - _LEFT) / count
        return [
            (_LEFT + index * width, width, _named(found))
            for index, found in enumerate(values)
            if found
        ]


def line_chart(
    title: str,
    unit: str,
    series: Sequence[Series],
    last_epoch: float,
    y_range: tuple[float, float] | None = None,
) -> Chart | None:
    """Lays out lines over the epochs 0 to `last_epoch`, which is above 0.

    A line without any value is left out; None where no line has one. The vertical axis, in
    `unit`, is `y_range` or goes over all values and floors, except for rare extremes.
    """
    lines = [line for line in series if line.finite]
    if not lines:
        return None
    floors = sorted({line.floor for line in lines if line.floor is not None})
    values = sorted(value for line in lines for value in line.values)
    low, high = y_range or _shown_range(values)
    y = _vertical_axis(min([low, *floors]), max([high, *floors]))
    rounding = 1e-9 * (y.high - y.low)
    return Chart(
        title,
        unit,
        lines,
        has_names=len(series) > 1,
        x=Axis(0.0, last_epoch, _nice_step(last_epoch), _LEFT, _RIGHT),
        y=y,
        floors=floors,
        beyond=[
            value
            for value in (values[0], values[-1])
            if not y.low - rounding <= value <= y.high + rounding
        ],
    )


def thinned(points: Sequence[Point], at_most: int) -> list[Point]:
    """The lowest and the highest point of each of `at_most` / 2 stretches, in their order.

    Spikes stay; a gap shorter than a stretch closes. Fewer points come back as they are.
    """
    if len(points) <= at_most:
        return list(points)
    length = math.ceil(2 * len(points) / at_most)
    kept: list[Point] = []
    for start in range(0, len(points), length):
        stretch = points[start : start + length]
        finite = [(epoch, value) for epoch, value in stretch if value is not None]
        extremes = {f(finite, key=lambda point: point[1]) for f in (min, max)} if finite else None
        kept.extend(sorted(extremes) if extremes else stretch[:1])
    return kept


def _shown_range(values: Sequence[float]) -> tuple[float, float]:
    """The range of sorted values, without one in fifty at each end if these would flatten all."""
    rare = len(values) // 50
    low, high = values[rare], values[-1 - rare]
    flat = 0 < high - low < (values[-1] - values[0]) / 4
    return (low, high) if flat else (values[0], values[-1])


def _vertical_axis(low: float, high: float) -> Axis:
    """An axis that begins and ends with a tick."""
    size = max(abs(low), abs(high))
    # Also for values that differ by rounding only, which have no ticks between them.
    if high - low <= 1e-9 * size:
        low, high = (low - 0.1 * size, high + 0.1 * size) if size else (0.0, 1.0)
    step = _nice_step(high - low)
    return Axis(math.floor(low / step) * step, math.ceil(high / step) * step, step, _BOTTOM, _TOP)


def _nice_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that a span takes about five."""
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * _TICKS >= span)


def _shown(line: Series, epoch: float, value: float) -> str:
    ends = f" ({' to '.join(map(number, line.spread[epoch]))})" if line.spread else ""
    return f"{number(value)}{ends}"


def _named(found: dict[str, tuple[float, str]]) -> str:
    last_epoch = max(epoch for epoch, _ in found.values())
    lines = [f"{label}: {shown}" for label, (_, shown) in found.items()]
    return "\n".join([f"epoch {last_epoch:.4g}", *lines])
