import json
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

from tests.helpers.made_up_run import make_full_run
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
document.body.textContent = JSON.stringify(found);
"""


@pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed")
def test_the_page_fits_any_window_and_its_slider_works(tmp_path: Path) -> None:
    names = [f"a_rather_long_name_of_a_run_{index}" for index in range(3)]
    runs = [make_full_run(tmp_path / name) for name in names]
    write_report(runs, str(tmp_path / "report.html"))
    source = escape((tmp_path / "report.html").read_text())
    # A window of the browser has a least width, a frame in it has none.
    frames = "".join(
        f"<iframe style='width:{width}px;border:0' srcdoc='{source}'></iframe>" for width in WIDTHS
    )
    viewer = tmp_path / "viewer.html"
    viewer.write_text(
        f"<!DOCTYPE html><meta charset='utf-8'><body>{frames}"
        f"<script>onload = () => {{{LOOK}}};</script></body>"
    )
    command = [str(BROWSER), *FLAGS, "--enable-logging=stderr", "--dump-dom", str(viewer)]
    command.insert(1, f"--user-data-dir={tmp_path / 'browser'}")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert "CONSOLE" not in ran.stderr, ran.stderr
    found = json.loads(unescape(ran.stdout[ran.stdout.index("[{") : ran.stdout.rindex("}]") + 2]))
    assert found == [
        {
            "width": width,
            "content_width": width,
            "last": [f"{name}: generated images after epoch 2" for name in names],
            "before": [f"{name}: generated images after epoch 1" for name in names],
            "label": "epoch 1",
        }
        for width in WIDTHS
    ]
