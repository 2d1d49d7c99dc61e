import json
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.made_up_run import log_line, make_full_run, make_run
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import changed
from trainer.report.page import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
WIDTHS = (1280, 390)

LOOK = """
const found = [];
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument;
  const slider = page.getElementById("epoch");
  const shown = () => [...page.querySelectorAll(".grids img[data-epoch]")]
    .filter((image) => image.offsetHeight > 0)
    .map((image) => image.alt);
  const last = shown();
  slider.stepDown();
  slider.dispatchEvent(new Event("input"));
  found.push({
    width: frame.clientWidth,
    content_width: page.documentElement.scrollWidth,
    last: last,
    before: shown(),
    label: page.getElementById("epoch-shown").textContent,
  });
}
"""
TICK = """
const page = document.querySelector("iframe").contentDocument;
const shown = () => [...page.querySelectorAll(".single")]
  .filter((line) => page.defaultView.getComputedStyle(line).display !== "none").length;
const found = [shown()];
page.getElementById("single-runs").click();
found.push(shown());
"""


needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed"
)


def looked(report: Path, script: str) -> Any:
    """What a script has `found`, which sees a page in a frame of each width."""
    source = escape(report.read_text())
    # A window of the browser has a least width, a frame in it has none.
    frames = "".join(
        f"<iframe style='width:{width}px;border:0' srcdoc='{source}'></iframe>" for width in WIDTHS
    )
    viewer = report.parent / "viewer.html"
    show = "document.body.textContent = JSON.stringify(found);"
    viewer.write_text(
        f"<!DOCTYPE html><meta charset='utf-8'><body>{frames}"
        f"<script>onload = () => {{{script}{show}}};</script></body>"
    )
    command = [str(BROWSER), *FLAGS, "--enable-logging=stderr", "--dump-dom", str(viewer)]
    command.insert(1, f"--user-data-dir={report.parent / 'browser'}")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert "CONSOLE" not in ran.stderr, ran.stderr
    return json.loads(unescape(ran.stdout[ran.stdout.index("<body>[") + 6 :].partition("<")[0]))


@needs_browser
def test_the_page_fits_any_window_and_its_slider_works(tmp_path: Path) -> None:
    names = [f"a_rather_long_name_of_a_run_{index}" for index in range(3)]
    runs = [make_full_run(tmp_path / name) for name in names]
    write_report(runs, str(tmp_path / "report.html"))
    assert looked(tmp_path / "report.html", LOOK) == [
        {
            "width": width,
            "content_width": width,
            "last": [f"{name}: generated images after epoch 2" for name in names],
            "before": [f"{name}: generated images after epoch 1" for name in names],
            "label": "epoch 1",
        }
        for width in WIDTHS
    ]


@needs_browser
def test_a_box_shows_single_runs(tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / str(seed),
            [log_line(10), log_line(20)],
            config=changed(tiny_config(), {"seed": seed}),
        )
        for seed in range(3)
    ]
    write_report(runs, str(tmp_path / "report.html"))
    hidden, shown = looked(tmp_path / "report.html", TICK)
    # Two losses, two probabilities and the speed.
    assert (hidden, shown) == (0, 5 * len(runs))
