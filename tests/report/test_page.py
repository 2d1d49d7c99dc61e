import base64
import hashlib
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from markupsafe import escape

from tests.helpers.made_up_run import FID, ODD, Page, log_line, make_full_run, make_run
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import changed
from trainer.errors import UserError
from trainer.report.charts import COLOURS
from trainer.report.formats import DASH
from trainer.report.page import write_report
from trainer.report.record import evenly_chosen, read_run
from trainer.report.sections import TIME_PARTS, time_parts
from trainer.run.phases import Phase, seconds_by_phase


def report_on(*run_dirs: str, output: Path) -> Page:
    write_report(list(run_dirs), str(output))
    return Page(output)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("report")
    return report_on(make_full_run(folder / "full"), output=folder / "new/report.html")


def test_everything_that_a_run_wrote_is_on_the_page(page: Page) -> None:
    assert page.texts("h1") == ["full"]
    assert ", ".join(page.texts("h2")) == (
        "At a glance, Alarms, Images by epoch, Quality, Evaluations, Losses, Throughput, "
        "Nearest training images, Config, Environment"
    )
    assert re.match(r"step 20, epoch 2.00 of 2; newest numbers \d{4}-", page.texts("p")[0])
    tiles = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert tiles == {
        "generator loss": "1.2",
        "discriminator loss": "0.5",
        "images/s, median": "250",
        "fid_tiny_1a2b3c4d": "15",
        "oddity": "3",
    }
    rows = page.rows()
    assert ["7", "D is nearly always right"] in rows
    assert ["fid_tiny_1a2b3c4d lower is better", "15", "12 (epoch 1)", "2.5"] in rows
    assert ["oddity", "3", DASH, DASH] in rows
    assert ["full/checkpoints/step-20", "14.5", "13.5 to 15.5", "2.5"] in rows
    assert ["generator_filters", "8, 8, 4"] in rows and ["diff_augment", DASH] in rows
    assert ["tensorflow", "2.21.0"] in rows and ["replicas", "1"] in rows
    titles = ["fid_tiny_1a2b3c4d", "oddity", "Loss", "Gradient penalty", "Probability", "Speed"]
    drawings = [svg.attributes["aria-label"] for svg in page.all("svg") if not svg.classes]
    assert [label.startswith(title) for label, title in zip(drawings, titles, strict=True)]
    assert drawings[0] == "fid_tiny_1a2b3c4d over the epochs: full ends at 15"
    assert not any("differs" in row.classes for row in page.all("tr"))
    (bar,) = page.all("svg", "bar")
    assert bar.attributes["aria-label"].startswith("Where the time went: startup 10.0%, first")
    pieces = [rect for rect in page.all("rect") if rect.attributes["height"] == "100%"]
    # No checkpoint took any time: c5.
    assert [piece.classes for piece in pieces] == [[f"c{colour}"] for colour in (0, 1, 2, 3, 4, 6)]
    assert pieces[3].attributes["x"] == "25.0%" and pieces[3].attributes["width"] == "52.5%"
    assert ["steps", "21.0 s", "52.5%"] in rows
    assert ["startup", "4.0 s", "10.0%"] in rows and ["evaluation", "6.0 s", "15.0%"] in rows


def test_a_run_that_has_just_begun_has_a_short_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "young")
    os.remove(tmp_path / "young/metrics.jsonl")
    page = report_on(run, output=tmp_path / "report.html")
    assert page.texts("h2") == ["At a glance", "Quality", "Config"]
    assert page.texts("p")[0].startswith("no numbers yet")
    assert "--config.evaluation.every_epochs=1" in page.texts("p")[1]
    assert not page.all("img") and not page.all("svg") and not page.all("input")


def test_the_grids_have_a_slider_that_begins_at_the_last(page: Page) -> None:
    (slider,) = page.all("input")
    assert slider.attributes["type"] == "range" and slider.attributes["value"] == "1"
    assert json.loads(slider.attributes["data-epochs"]) == [1, 2]
    assert page.all("label")[0].attributes["for"] == slider.attributes["id"]
    grids = [image for image in page.all("img") if "data-epoch" in image.attributes]
    assert ["hidden" in grid.attributes for grid in grids] == [True, False]
    assert grids[1].attributes["alt"] == "full: generated images after epoch 2"


def test_grids_name_the_classes_of_their_rows(tmp_path: Path) -> None:
    config = changed(tiny_config(), {"model.num_classes": 3, "train.grid_images": 2})
    run = make_run(tmp_path / "run", config=config, grid_epochs=[1])
    data = {"source": "images:caf\udce9", "num_images": 9, "class_names": ["<b>", "\udce9", "c"]}
    (tmp_path / "run/data.json").write_text(json.dumps(data))
    page = report_on(run, output=tmp_path / "report.html")
    assert "Rows, from the top: <b>, \\udce9" in page.texts("p")
    assert ["source", "images:caf\\udce9"] in page.rows()


def test_nothing_comes_from_elsewhere(page: Page) -> None:
    assert not page.all("link") and "url(" not in page.source and "@import" not in page.source
    for element in page.elements:
        assert "href" not in element.attributes
        assert element.attributes.get("src", "data:").startswith("data:")
        if element.tag == "img":
            assert element.attributes["alt"]
    assert "://" not in page.source and tempfile.gettempdir() not in page.source


def test_the_page_forbids_all_but_its_own_style_and_script(page: Page) -> None:
    (policy,) = (e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes)
    assert page.source.index("Content-Security-Policy") < page.source.index("<style>")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    for rule, tag in (("style-src", "style"), ("script-src", "script")):
        (element,) = page.all(tag)
        digest = hashlib.sha256(element.text.encode()).digest()
        assert rules[rule] == f"'sha256-{base64.b64encode(digest).decode()}'"
    names = {name for element in page.elements for name in element.attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]


def test_text_from_a_run_is_never_markup(tmp_path: Path) -> None:
    bad = '<script>"it\'s" & {{ body }}'
    lines = [{"step": step, "epoch": 0.1, f"quality/{bad}": 1.0, "alarm": bad} for step in (1, 2)]
    more: dict[str, Any] = {"config": tiny_config(bad), "environment": {bad: bad}}
    runs = [make_run(tmp_path / parent / bad, lines, **more, grid_epochs=[1]) for parent in "ab"]
    page = report_on(*runs, output=tmp_path / "report.html")
    assert bad not in page.source and page.source.count(escape(bad)) > 10
    assert page.texts("h3")[:2] == runs
    for row in (["1", runs[0], bad], ["records_dir", bad, bad], [bad, bad, bad]):
        assert row in page.rows()
    assert any(image.attributes["alt"].startswith(runs[1]) for image in page.all("img"))


def test_the_floor_is_a_dashed_line_where_the_run_has_one(page: Page) -> None:
    (floor,) = page.all("line", "floor")
    # Values 12 to 30 and a floor of 2.5 give an axis from 0 to 30.
    assert float(floor.attributes["y1"]) == pytest.approx(194 - 170 * 2.5 / 30, abs=0.1)
    assert "floor 2.5" in page.texts("span", "key")


def test_several_runs_share_axes_slider_and_tables(tmp_path: Path) -> None:
    other = tiny_config()
    other.loss.objective = "hinge"
    first = make_full_run(tmp_path / "first")
    second = make_run(
        tmp_path / "second", [log_line(40, **{FID: 9.0})], config=other, grid_epochs=[2, 4]
    )
    page = report_on(first, second, output=tmp_path / "report.html")
    assert page.texts("h1") == ["2 runs side by side"]
    assert page.texts("h3")[:2] == ["first", "second"]
    marked = [row.text for row in page.all("tr", "differs")]
    assert marked == ["objectivebcehinge", f"tensorflow2.21.0{DASH}", f"replicas1{DASH}"]
    assert ["second", "9", "9 (epoch 4)", DASH] in page.rows()
    assert ["fid_tiny_1a2b3c4d lower is better"] in page.rows()
    assert json.loads(page.all("input")[0].attributes["data-epochs"]) == [1, 2, 4]
    (loss,) = (f for f in page.all("figure", "chart") if f.text.startswith("Loss: generator"))
    assert "first" in loss.text and "second" in loss.text
    # A chart that one run alone has a line in still says which.
    assert page.texts("span", "key").count("first") == page.texts("span", "key").count("second") + 2
    # The axes of all end with the last epoch of all.
    ends = [re.findall(r"([\d.]+) [\d.]+h0", path.attributes["d"])[-1] for path in page.all("path")]
    assert {*ends} == {"388.0", "219.0"}
    assert len(page.all("path", "c0")) == 8 and len(page.all("path", "c1")) == 6


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / parent / "run", [log_line(10)]) for parent in "ab"]
    assert report_on(*runs, output=tmp_path / "report.html").texts("h3")[:2] == runs


def test_nan_and_missing_values_leave_gaps(tmp_path: Path) -> None:
    lines = [log_line(step, **{FID: float(step)}) for step in range(1, 8)]
    lines[3][FID] = math.nan
    lines[5][FID] = math.inf
    del lines[1][FID]  # this line was no evaluation: not a gap
    lines.append({"step": 8, "epoch": 0.8, ODD: None})
    page = report_on(make_run(tmp_path / "run", lines), output=tmp_path / "report.html")
    paths = [path.attributes["d"] for path in page.all("path")]
    assert paths[0].count("M") == 3 and paths[0].count("L") == 1
    assert all("nan" not in path and "inf" not in path for path in paths)
    assert ["oddity", DASH, DASH, DASH] in page.rows()


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [log_line(10)])
    with open(f"{run}/metrics.jsonl", "a") as file:
        file.write('{"step": 20, "epo')
    assert "step 10," in report_on(run, output=tmp_path / "report.html").texts("p")[0]


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere holds no run"):
        write_report([str(tmp_path / "nowhere")], str(tmp_path / "report.html"))
    run = make_run(tmp_path / "run")
    for count in (0, COLOURS + 1):
        with pytest.raises(UserError, match=f"{count} run directories"):
            write_report([run] * count, str(tmp_path / "report.html"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"report\.html cannot be written"):
        write_report([run], str(tmp_path / "file/report.html"))
    assert not list(tmp_path.glob("report.html*"))


def test_the_page_stays_small_with_large_and_many_grids(tmp_path: Path) -> None:
    run = tmp_path / "run"
    lines = [log_line(step) for step in range(1, 5000)]
    lines[2]["loss/generator"] = 9999.0
    make_run(run, lines)
    noise = np.random.default_rng(0)
    for epoch in range(1, 121):
        (run / f"samples/epoch_{epoch:04d}.png").write_bytes(noise.bytes(150_000))
    (run / "timelapse.gif").write_bytes(noise.bytes(1_600_000))
    page = report_on(str(run), output=tmp_path / "report.html")
    epochs = json.loads(page.all("input")[0].attributes["data-epochs"])
    assert epochs[0] == 1 and epochs[-1] == 120 and len(epochs) == 20
    assert set(np.diff(epochs)) <= {6, 7}
    assert "timelapse.gif (1.6 MB)" in page.texts("p", "note")[1]
    assert len(page.source) < 10_000_000 and "cut off: 9,999" in page.texts("span", "key")
    (run / "samples/epoch_0121.png").write_bytes(noise.bytes(3_100_000))
    page = report_on(str(run), output=tmp_path / "report.html")
    assert "samples/epoch_*.png (3.1 MB each), timelapse.gif" in page.texts("p", "note")[1]
    assert not page.all("img")


def test_at_most_40_grids_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [log_line(10)], grid_epochs=range(1, 100))
    page = report_on(run, output=tmp_path / "report.html")
    assert len(page.all("img")) == 40
    assert page.all("img")[-1].attributes["data-epoch"] == "99"


def test_grids_are_chosen_evenly_and_end_with_the_last() -> None:
    names = [str(number) for number in range(101)]
    assert evenly_chosen(names, 5) == ["0", "25", "50", "75", "100"]
    assert evenly_chosen(names, 1) == ["100"]
    assert evenly_chosen(names[:3], 40) == ["0", "1", "2"]


def test_every_phase_of_a_run_is_in_one_part_of_its_time() -> None:
    assert sorted(sum(TIME_PARTS.values(), ())) == sorted(get_args(Phase))
    assert len(TIME_PARTS) <= COLOURS


def test_a_run_without_phases_does_not_say_where_the_time_went(tmp_path: Path) -> None:
    first = {"step": 1, "epoch": 0.1, "speed/first_step_seconds": 3.0}
    run = read_run(make_run(tmp_path / "older", [first, log_line(10)]), 1_000_000)
    assert seconds_by_phase(run.metrics) == {"first_step": 3.0} and not time_parts(run)
