"""Files that a run reads again, with other bytes in them than were written."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_strategy_of
from tests.helpers.damage import cut_short, flip_a_bit
from tests.helpers.tiny import tiny_config
from trainer.data.tfrecord import read_manifest
from trainer.errors import UserError
from trainer.evaluate_runs import evaluate_runs
from trainer.evaluation.features import Extractor, load_extractor
from trainer.evaluation.reference import load_reference
from trainer.report.page import write_report
from trainer.run.run_dir import read_config
from trainer.sampling.pictures import timelapse
from trainer.storage.png import png
from trainer.train import train

NAMED = r"is damaged or missing; find the file with .*--verify="
GARBAGE = {"empty": b"", "cut": b'{"a": [1, ', "binary": b"\xff\x00\x80", "deep": b"[" * 100_000}


@pytest.fixture(scope="module")
def run(noisy_records: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one evaluation, and its records beside it."""
    folder = tmp_path_factory.mktemp("garbage")
    # Other tests keep features of other extractors there.
    ignored = shutil.ignore_patterns("features")
    shutil.copytree(noisy_records, folder / "records", ignore=ignored)
    config = tiny_config(folder / "records")
    config.train.steps, config.train.jit_compile = 2, "false"
    config.evaluation.extractor, config.evaluation.every_epochs = "random", 1
    config.evaluation.images = 130
    train(config, make_strategy_of(1), str(folder / "run"))
    return folder / "run"


def evaluate(run: Path, **changes: Any) -> None:
    options = {"checkpoint": "", "count": 130, "seed": 3, "config": None, "output": None}
    options |= {"trusts_saved_models": True}
    evaluate_runs([str(run)], **(options | changes))  # type: ignore[arg-type]


@pytest.fixture
def damaged(run: Path, tmp_path: Path) -> Path:
    """A copy of the run and of its records."""
    shutil.copytree(run.parent, tmp_path / "copy")
    copy = tmp_path / "copy/run"
    config = json.loads((copy / "config.json").read_text())
    config["data"]["records_dir"] = str(tmp_path / "copy/records")
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_only_shown(name: str, damaged: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in ("metrics.jsonl", "quality_floor.json", "environment.json"):
        (damaged / file).write_bytes(GARBAGE[name] + b"\n")
    write_report([str(damaged)], str(damaged / "report.html"))
    for file in ("quality_floor.json is damaged", "environment.json is damaged", "1 damaged line"):
        assert file in caplog.text
    (damaged / "config.json").write_bytes(GARBAGE[name])
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        write_report([str(damaged)], str(damaged / "report.html"))


def test_a_damaged_config_is_written_anew_as_its_message_says(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = read_config(str(damaged))
    (damaged / "config.json").write_bytes(b"{")
    with pytest.raises(UserError, match="delete it and give the run's own command"):
        train(own, make_strategy_of(1), str(damaged))
    (damaged / "config.json").unlink()
    train(own, make_strategy_of(1), str(damaged))
    assert "config.json is missing" in caplog.text
    assert read_config(str(damaged)) == own


def test_a_run_goes_on_and_writes_it_anew(damaged: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("environment.json", "quality_floor.json", "evaluation.json", "samples/epoch_0000.png")
    for name, content in zip(names, GARBAGE.values(), strict=True):
        (damaged / name).write_bytes(content)
    with (damaged / "metrics.jsonl").open("ab") as file:
        file.write(b"".join(content + b"\n" for content in GARBAGE.values()))
    (again := read_config(str(damaged))).train.steps = 4
    train(again, make_strategy_of(1), str(damaged))
    assert "epoch_0000.png is damaged and left out of the timelapse" in caplog.text
    assert "has 4 damaged line(s)" in caplog.text
    lines = [json.loads(line) for line in (damaged / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss/generator" in line] == [2, 4]
    evaluate(damaged)
    for name in names[:3]:
        assert json.loads((damaged / name).read_text())


@pytest.mark.parametrize("value", ["x", -1, None, [1]])
def test_a_config_with_a_value_of_another_kind(value: Any, damaged: Path) -> None:
    config = json.loads((damaged / "config.json").read_text())
    config["model"]["resolution"] = value
    (damaged / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config\.json: model\.resolution is"):
        read_config(str(damaged))


@pytest.mark.parametrize("name", GARBAGE)
def test_a_manifest(name: str, damaged: Path) -> None:
    (damaged.parent / "records/manifest.json").write_bytes(GARBAGE[name])
    with pytest.raises(UserError, match=r"manifest\.json .*"):
        evaluate(damaged)


def test_a_manifest_with_values_of_other_kinds(damaged: Path) -> None:
    path = damaged.parent / "records/manifest.json"
    good = json.loads(path.read_text())
    for changed in (
        *({"image_shape": shape} for shape in ([8, 8], [8, 8, -1], "8x8", None)),
        *({"encoding": "gif"}, {"source": 3}, {"class_names": [1]}, {"shards": 5}),
        {"shards": [good["shards"][0] | {"records": "10"}]},
    ):
        path.write_text(json.dumps(good | changed))
        with pytest.raises(UserError, match=r"manifest\.json is no manifest"):
            read_manifest(str(path.parent))


def without_sizes(records: Path) -> None:
    """A manifest of shards that hold one image less than it says, at a record's end."""
    manifest = json.loads((records / "manifest.json").read_text())
    manifest["shards"][0]["records"] += 1
    (records / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "harm", [without_sizes, lambda records: flip_a_bit(next(records.glob("shard*")))]
)
def test_records_in_training_and_evaluation(harm: Any, damaged: Path) -> None:
    harm(damaged.parent / "records")
    shutil.rmtree(damaged.parent / "records/features")
    with pytest.raises(UserError, match=NAMED):
        evaluate(damaged)
    (config := read_config(str(damaged))).train.steps = 4
    with pytest.raises(UserError, match=NAMED):
        train(config, make_strategy_of(1), str(damaged))


@pytest.fixture(scope="module")
def extractor(run: Path) -> Extractor:
    return load_extractor("random", str(run.parent / "records"), (8, 8, 1))


def test_features_are_computed_anew(
    damaged: Path, extractor: Extractor, caplog: pytest.LogCaptureFixture
) -> None:
    records = damaged.parent / "records"
    manifest, (path,) = read_manifest(str(records)), (records / "features").iterdir()
    whole = load_reference(str(records), manifest, extractor)
    good = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    for harm in (
        *(lambda: cut_short(path), lambda: path.write_bytes(b""), lambda: flip_a_bit(path)),
        lambda: flip_a_bit(path, directory + 8),  # asks for a password
        lambda: flip_a_bit(path, directory + 10),  # another compression
        lambda: np.savez(path, features=np.zeros((3, 2)), places=1, memorised_threshold=0),
        lambda: np.savez(path, places=np.arange(3)),
    ):
        caplog.clear()
        harm()
        again = load_reference(str(records), manifest, extractor)
        assert f"{path} is damaged" in caplog.text
        np.testing.assert_array_equal(again.features, whole.features)
        assert path.read_bytes() == good


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x80", b"a SavedModel"])
def test_an_export(content: bytes, run: Path, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged, or no export of this program \(.+--mode=exp"):
        evaluate(tmp_path, config=read_config(str(run)))


def test_grids_of_which_some_or_all_are_damaged(tmp_path: Path) -> None:
    paths = [tmp_path / f"epoch_000{number}.png" for number in (1, 2, 3)]
    for path in paths:
        path.write_bytes(png(np.random.default_rng(0).integers(0, 256, (9, 9, 1), np.uint8)))
    cut_short(paths[1])
    moving = timelapse(list(map(str, paths)))
    assert moving is not None
    (tmp_path / "a.gif").write_bytes(moving)
    assert Image.open(tmp_path / "a.gif").n_frames == 1  # two that are the same
    assert timelapse([str(paths[1])]) is None
