import math
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.made_up_run import FID, Page, log_line, make_run
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import changed
from trainer.report.charts import COLOURS, Series, line_chart
from trainer.report.page import write_report
from trainer.report.record import RunRecord, read_run
from trainer.report.seeds import averaged, by_seed

SCORES = {1: [30.0, 20.0, 10.0], 2: [32.0, 26.0, 13.0], 3: [40.0, 23.0, 16.0]}
"""The fid after each epoch, by the seed."""


def make_seed(folder: Path, seed: int, objective: str = "bce", factor: float = 1.0) -> str:
    lines = [
        log_line(10 * epoch, **{FID: factor * score})
        for epoch, score in enumerate(SCORES.get(seed, [seed] * 3), start=1)
    ]
    config = changed(tiny_config(), {"seed": seed, "loss.objective": objective})
    return make_run(folder, lines, config=config, floor={FID: 2.5})


def records(tmp_path: Path, *names_and_seeds: tuple[str, int, str]) -> list[RunRecord]:
    return [
        read_run(make_seed(tmp_path / name, seed, objective), 1_000_000)
        for name, seed, objective in names_and_seeds
    ]


def test_the_mean_and_the_ends_are_those_of_the_seeds(tmp_path: Path) -> None:
    found = by_seed(records(tmp_path, *((f"run_{seed}_x", seed, "bce") for seed in SCORES)))
    (group,) = found
    assert group.label == "run_*_x (3 seeds)"
    series = group.series(group.label, 2, FID)
    scores = np.array(list(SCORES.values()))
    epochs = [1.0, 2.0, 3.0]
    assert series.points == list(zip(epochs, scores.mean(axis=0), strict=True))
    ends = list(zip(scores.min(axis=0), scores.max(axis=0), strict=True))
    assert series.spread == dict(zip(epochs, ends, strict=True))
    assert (series.colour, series.floor, len(series.singles)) == (2, 2.5, 3)
    # One alone is drawn as ever.
    (single,) = by_seed(group.runs[:1])
    assert single.series("one", 0, FID) == Series("one", 0, group.runs[0].points(FID), 2.5)


def test_runs_that_differ_in_more_or_in_nothing_stay_apart(tmp_path: Path) -> None:
    runs = records(
        tmp_path, ("a", 1, "bce"), ("b", 1, "hinge"), ("c", 2, "bce"), ("d", 1, "minimax")
    )
    assert [group.label for group in by_seed(runs)] == ["a, c", "b", "d"]
    runs = records(tmp_path / "same", ("x1", 1, "bce"), ("x2", 2, "bce"), ("x3", 2, "bce"))
    assert [group.label for group in by_seed(runs)] == ["x1", "x2", "x3"]
    runs = records(
        tmp_path / "more",
        *(("x1", 1, "bce"), ("x2", 2, "bce"), ("x3", 1, "hinge"), ("x4", 2, "hinge")),
    )
    assert [group.label for group in by_seed(runs)] == ["x1, x2", "x3, x4"]


def test_the_mean_is_of_all_and_has_the_gaps_of_each() -> None:
    points, spread = averaged(
        [
            [(1.0, 4.0), (2.0, 6.0), (2.5, 7.0), (3.0, 8.0), (4.0, 9.0)],
            [(1.0, 6.0), (2.0, None), (3.0, 8.0)],
        ]
    )
    assert points == [(1.0, 5.0), (2.0, None), (3.0, 8.0)]
    assert spread == {1.0: (4.0, 6.0), 3.0: (8.0, 8.0)}


def test_a_band_is_closed_and_ends_at_gaps() -> None:
    of_runs = [[(1.0, 0.0), (2.0, 2.0), (3.0, None), (4.0, 1.0), (5.0, 5.0)] for _ in range(2)]
    of_runs[1][1] = (2.0, 10.0)
    line = Series("x", 0, *averaged(of_runs)[:1], None, averaged(of_runs)[1], of_runs)
    chart = line_chart("t", "u", [line], 5.0)
    assert chart and chart.has_bands and (chart.y.low, chart.y.high) == (0, 10)
    first, second = chart.band(line).split("Z")[:2]
    x = [chart.x.pixel(epoch) for epoch in (1, 2, 4, 5)]
    assert first == f"M{x[0]} 194.0L{x[1]} 24.0L{x[1]} 160.0L{x[0]} 194.0"
    assert second.startswith(f"M{x[2]} ") and second.count("L") == 3
    assert any(text.endswith("x: 6 (2 to 10)") for _, _, text in chart.strips())


def test_ten_runs_of_two_configs_are_two_curves(tmp_path: Path) -> None:
    runs = [
        make_seed(tmp_path / f"{name}_seed{seed}", seed, objective)
        for name, objective in (("old", "bce"), ("new", "hinge"))
        for seed in range(1, 6)
    ]
    assert len(runs) > COLOURS
    write_report(runs, str(tmp_path / "report.html"))
    page = Page(tmp_path / "report.html")
    assert page.texts("h1") == ["10 runs side by side"]
    assert page.texts("h2")[0] == "Best first"
    chart = next(figure for figure in page.all("figure", "chart"))
    for words in ("old_seed* (5 seeds)", "new_seed*", "mean over seeds; band: lowest to highest"):
        assert words in chart.text
    quality = page.source[page.source.index("<h2>Quality") : page.source.index("<h2>Losses")]
    assert quality.count('class="band c0"') == quality.count('class="band c1"') == 1
    assert quality.count('class="line single c1"') == 5
    (box,) = (e for e in page.all("input") if e.attributes["type"] == "checkbox")
    assert box.attributes["id"] == "single-runs" and "checked" not in box.attributes
    assert ["seed", "1 / 2 / 3 / 4 / 5", "1 / 2 / 3 / 4 / 5"] in page.rows()
    assert [row.text for row in page.all("tr", "differs")] == ["objectivebcehinge"]
    assert page.texts("summary") == ["Each run's last and best values"]
    assert ["new_seed2", "13", "13 (epoch 3)", "2.5"] in page.rows()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_seed_that_diverged_leaves_a_gap(value: float, tmp_path: Path) -> None:
    runs = [make_seed(tmp_path / f"s{seed}", seed) for seed in SCORES]
    with open(tmp_path / "s2/metrics.jsonl", "a") as file:
        file.write(
            f'{{"step": 40, "epoch": 4, "{FID}": {"NaN" if value != value else "Infinity"}}}\n'
        )
    for name in ("s1", "s3"):
        with open(tmp_path / name / "metrics.jsonl", "a") as file:
            file.write(f'{{"step": 40, "epoch": 4, "{FID}": 1.0}}\n')
    write_report(runs, str(tmp_path / "report.html"))
    source = (tmp_path / "report.html").read_text()
    assert "nan" not in source.lower().split("<h2>config")[0].split("<h2>quality")[1]
