"""Run directories as the trainer leaves them, made up in milliseconds, and pages read back."""

import dataclasses
import html.parser
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.tiny import tiny_config
from trainer.config import Config
from trainer.evaluation.evaluate import Evaluation, Measure
from trainer.storage.png import png

VOID = {"img", "input", "meta", "wbr"}
FID, ODD = "quality/fid_tiny_1a2b3c4d", "quality/oddity"


def log_line(step: int, **more: Any) -> dict[str, Any]:
    """A line of metrics.jsonl after `step` steps, of which ten make an epoch."""
    return {
        "step": step,
        "epoch": step / 10,
        "loss/generator": 1.0 + step / 100,
        "loss/discriminator": 0.5,
        "discriminator/real_probability": 0.6,
        "discriminator/fake_probability": 0.4,
        "speed/images_per_second": 250.0,
        **more,
    }


def make_run(
    folder: Path,
    lines: Sequence[Mapping[str, Any]] = (),
    *,
    config: Config | None = None,
    grid_epochs: Sequence[int] = (),
    floor: dict[str, float] | None = None,
    environment: dict[str, Any] | None = None,
    pictures: Sequence[str] = (),
    evaluations: Sequence[Evaluation] = (),
) -> str:
    """Writes a run directory; what is not given is not there."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text((config or tiny_config()).to_json())
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    for epoch in grid_epochs:
        content = png(np.full((8, 8, 1), epoch, np.uint8))
        (folder / f"samples/epoch_{epoch:04d}.png").write_bytes(content)
    for name in pictures:
        (folder / name).write_bytes(png(np.zeros((8, 8, 1), np.uint8)))
    if evaluations:
        found = [dataclasses.asdict(evaluation) for evaluation in evaluations]
        (folder / "evaluation.json").write_text(json.dumps(found))
    if floor is not None:
        (folder / "quality_floor.json").write_text(json.dumps(floor))
    if environment is not None:
        (folder / "environment.json").write_text(json.dumps(environment))
    return str(folder)


def evaluation_of(source: Path | str, step: int | None, **values: float) -> Evaluation:
    """What --mode=evaluate writes: each value with an interval of one to either side."""
    measures = {
        f"{name}_tiny_1a2b3c4d": Measure(value, value - 1, value + 1, 2.5)
        for name, value in values.items()
    }
    return Evaluation(measures, str(source), step, 2000, 5, "tiny_1a2b3c4d", 0, "5e6f7a8b")


def make_full_run(folder: Path) -> str:
    """A run that has written everything that a report can show."""
    seconds = {"input": 1.0, "steps": 7.0, "logging": 0.25, "grids": 0.75}
    phases = {f"speed/{name}_seconds": value for name, value in seconds.items()}
    start = {"speed/imports_seconds": 3.0, "speed/networks_seconds": 1.0}
    return make_run(
        folder,
        [
            {"step": 1, "epoch": 0.1, **start, "speed/first_step_seconds": 3.0},
            log_line(5, **{"loss/penalty": 0.2}, **phases),
            {"step": 5, "epoch": 0.5, FID: 30.0, ODD: 1.0, "speed/evaluation_seconds": 2.0},
            {"step": 7, "epoch": 0.7, "alarm": "D is nearly always right"},
            log_line(10, **{"loss/penalty": 0.1}, **phases),
            {"step": 10, "epoch": 1.0, FID: 12.0, ODD: 2.0, "speed/evaluation_seconds": 2.0},
            log_line(20, **{"loss/penalty": 0.3}, **phases),
            {"step": 20, "epoch": 2.0, FID: 15.0, ODD: 3.0, "speed/evaluation_seconds": 2.0},
        ],
        grid_epochs=[1, 2],
        floor={FID: 2.5},
        environment={"tensorflow": "2.21.0", "replicas": 1},
        pictures=["timelapse.gif", "nearest.png"],
        evaluations=[evaluation_of(folder / "checkpoints/step-20", 20, fid=14.5)],
    )


@dataclasses.dataclass
class Element:
    """An element of a page: its name, its attributes, the text inside."""

    tag: str
    attributes: dict[str, str]
    text: str = ""

    @property
    def plain_text(self) -> str:
        # The word joiners that keep a colour on the line of its name are no text.
        return self.text.replace("\u2060", "").strip()

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


class Page(html.parser.HTMLParser):
    """Reads a page, and fails where an element is not closed in its turn."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), self.get_starttag_text()
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1].tag == tag, f"</{tag}> at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, tag: str, kind: str = "") -> list[Element]:
        """Elements of a name, in the order of the page, and of a class if one is given."""
        found = [element for element in self.elements if element.tag == tag]
        return [element for element in found if not kind or kind in element.classes]

    def texts(self, tag: str, kind: str = "") -> list[str]:
        """What is to be read in such elements."""
        return [element.plain_text for element in self.all(tag, kind)]

    def rows(self) -> list[list[str]]:
        """Every table row as the texts of its cells."""
        rows: list[list[str]] = []
        for element in self.elements:
            if element.tag == "tr":
                rows.append([])
            elif element.tag in ("th", "td"):
                rows[-1].append(element.plain_text)
        return rows
