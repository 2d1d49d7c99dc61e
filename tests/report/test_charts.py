import re

import pytest

from trainer.evaluation.measure_names import better_direction, quality_metrics
from trainer.report.charts import Chart, Point, Series, line_chart, thinned
from trainer.report.formats import DASH, duration, number


def test_thinning_keeps_spikes() -> None:
    points = [(float(epoch), float(epoch == 777)) for epoch in range(10_000)]
    kept = thinned(points, 100)
    assert len(kept) <= 100 and (777.0, 1.0) in kept and kept == sorted(kept)
    assert thinned([(0.0, None)] * 10, 4) == [(0.0, None)] * 2
    assert thinned(points[:5], 100) == points[:5]


def chart_of(points: list[Point], floor: float | None = None) -> Chart | None:
    return line_chart("title", "unit", [Series("run", 0, points, floor)], points[-1][0] or 1.0)


def heights(chart: Chart) -> list[float]:
    return [
        float(y) for y in re.findall(r"[ML][\d.]+ ([-\d.e]+)", chart.path(chart.lines[0].points))
    ]


@pytest.mark.parametrize(
    "values",
    [[0.0], [3.0], [0.1 + 0.2, 0.3], [-5e-6, 4e-6], [1e30, -1e30], [1234.5, 1234.6], [None, None]],
)
def test_any_values_make_a_chart(values: list[float | None]) -> None:
    chart = chart_of([(float(epoch), value) for epoch, value in enumerate(values)])
    assert (chart is None) == (values[0] is None)
    if chart:
        assert all(24 <= y <= 194 for y in heights(chart)) and len(chart.y.ticks()) > 1


def test_rare_extremes_do_not_flatten_a_chart() -> None:
    points: list[Point] = [
        (float(epoch), 500.0 if epoch == 1 else epoch / 100) for epoch in range(100)
    ]
    chart = chart_of(points)
    assert chart and chart.beyond == [500.0]
    assert any("run: 500" in text for _, _, text in chart.strips())
    drawn = heights(chart)
    assert min(drawn) == drawn[1] == 24 and max(drawn) - drawn[-1] > 160
    # Of few values all are shown, and a floor always is.
    chart = chart_of(points[2:], floor=-300.0)
    assert chart and not chart.beyond and -300.0 in dict(chart.y.ticks())
    chart = chart_of(points[:40])
    assert chart and not chart.beyond


def test_numbers_and_durations_are_short() -> None:
    values = (None, 0.0, 0.00012346, 12.3456, 12345.6, 1e12)
    assert [*map(number, values)] == [DASH, "0", "0.0001235", "12.35", "12,346", "1e+12"]
    seconds = (0.04, 59.94, 61, 3599, 3600 + 125)
    texts = ["0.0 s", "59.9 s", "1 min 01 s", "59 min 59 s", "1 h 02 min"]
    assert [*map(duration, seconds)] == texts


def test_direction_and_order_of_metrics() -> None:
    names = ["oddity", "modes_1a", "modest", "kid_x", "fid_x", "class_kl_1a", "near_duplicates"]
    lines = [{"step": 1.0, "loss/generator": 1.0}, {f"quality/{name}": 1.0 for name in names}]
    ordered = quality_metrics([lines])
    directions = {name.removeprefix("quality/"): better_direction(name) for name in ordered}
    assert list(directions.items()) == [
        ("fid_x", "lower"),
        ("kid_x", "lower"),
        ("modes_1a", "higher"),
        ("class_kl_1a", "lower"),
        ("near_duplicates", "lower"),
        ("modest", None),
        ("oddity", None),
    ]
