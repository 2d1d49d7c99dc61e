import re

import pytest

from trainer.evaluation.measure_names import better_direction, quality_metrics
from trainer.report.charts import Series, line_chart, stacked_bar, thinned
from trainer.report.markup import DASH, duration, number


def test_thinning_keeps_spikes() -> None:
    points = [(float(epoch), float(epoch == 777)) for epoch in range(10_000)]
    kept = thinned(points, 100)
    assert len(kept) <= 100 and (777.0, 1.0) in kept and kept == sorted(kept)
    assert thinned([(0.0, None)] * 10, 4) == [(0.0, None)] * 2
    assert thinned(points[:5], 100) == points[:5]


@pytest.mark.parametrize(
    "values",
    [[0.0], [3.0], [0.1 + 0.2, 0.3], [-5e-6, 4e-6], [1e30, -1e30], [1234.5, 1234.6], [None, None]],
)
def test_any_values_make_a_chart(values: list[float | None]) -> None:
    points = [(float(epoch), value) for epoch, value in enumerate(values)]
    drawn = line_chart("title", "unit", [Series("run", 0, points)], 1.0)
    assert bool(drawn) == (values[0] is not None)
    inside = [float(y) for y in re.findall(r"[ML][\d.]+ ([-\d.e]+)", drawn)]
    assert all(24 <= y <= 194 for y in inside) and len(re.findall("class='rule'", drawn)) != 1


def test_rare_extremes_do_not_flatten_a_chart() -> None:
    points = [(float(epoch), 500.0 if epoch == 1 else epoch / 100) for epoch in range(100)]
    drawn = line_chart("title", "unit", [Series("run", 0, points)], 99.0)
    assert "cut off: 500<" in drawn and "run: 500" in drawn
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", drawn)]
    assert min(heights) == heights[1] == 24 and max(heights) - heights[-1] > 160
    # Of few values all are shown, and a floor always is.
    drawn = line_chart("title", "unit", [Series("run", 0, points[2:], floor=-300.0)], 99.0)
    assert "cut off" not in drawn and ">-300<" in drawn
    assert "cut off" not in line_chart("title", "unit", [Series("run", 0, points[:40])], 99.0)


def test_numbers_and_durations_are_short() -> None:
    values = (None, 0.0, 0.00012346, 12.3456, 12345.6, 1e12)
    assert [*map(number, values)] == [DASH, "0", "0.0001235", "12.35", "12,346", "1e+12"]
    seconds = (0.04, 59.94, 61, 3599, 3600 + 125)
    texts = ["0.0 s", "59.9 s", "1 min 01 s", "59 min 59 s", "1 h 02 min"]
    assert [*map(duration, seconds)] == texts


def test_a_bar_has_a_piece_for_each_part_that_took_time() -> None:
    bar = stacked_bar({"steps": 3.0, "nothing": 0.0, "evaluation": 1.0}, "Time")
    assert "aria-label='Time: steps 75.0%, evaluation 25.0%'" in bar
    assert re.findall(r"class='(c\d)' style='width:([\d.]+)%", bar) == [
        ("c0", "75.0"),
        ("c2", "25.0"),
    ]


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
