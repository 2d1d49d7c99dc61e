"""--mode=evaluate on runs of two seeds and an export of one."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import make_strategy_of
from tests.helpers.tiny import tiny_config
from trainer.data.pipeline import batches_in_order
from trainer.data.tfrecord import read_manifest
from trainer.errors import UserError
from trainer.evaluate_runs import evaluate_runs
from trainer.run.checkpoints import load_generator
from trainer.run.run_dir import read_config
from trainer.sampling.export import export_generator
from trainer.sampling.sampler import Sampler
from trainer.sampling.writing import write_samples
from trainer.train import train

OPTIONS = {"checkpoint": "", "count": 150, "seed": 3, "config": None, "output": None}


@pytest.fixture(scope="module")
def runs(noisy_records: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, found = tmp_path_factory.mktemp("runs"), []
    for seed in (0, 1):
        config = tiny_config(noisy_records)
        config.seed, config.train.steps, config.train.jit_compile = seed, 8, "false"
        config.evaluation.extractor = "random"
        found.append(str(folder / str(seed)))
        train(config, make_strategy_of(1), found[-1])
    return found


def values(path: Path | str) -> list[dict[str, float]]:
    return [
        {name: measure["value"] for name, measure in each["measures"].items()}
        for each in json.loads(Path(path).read_text())
    ]


def test_two_runs_side_by_side(
    runs: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(runs[1], "data.json")
    data.write_text(data.read_text().replace('"num_images": 400', '"num_images": 390'))
    evaluate_runs(runs, **OPTIONS)  # type: ignore[arg-type]
    text = capsys.readouterr().out
    first, second = values(Path(runs[0]) / "evaluation.json")
    fid = next(name for name in first if name.startswith("fid_random128_"))
    mean = (first[fid] + second[fid]) / 2
    row = [line for line in text.splitlines() if line.startswith(fid)][-1]
    assert f"{mean:.4g}" in row
    assert f"{abs(first[fid] - second[fid]) / 2**0.5:.4g}" in row
    assert f"A: {runs[0]}" in text
    assert "note: step 8 is 0.16 epochs: too few" in text
    assert "is a network of random weights" in text
    assert "note: 150 samples are few for 128 features" in text
    # Ours: TensorFlow warns of retracing, by what other tests have traced in this process.
    ours = [record for record in caplog.records if record.name.startswith("trainer.")]
    (told,) = (record.getMessage() for record in ours if record.levelname == "WARNING")
    assert told.startswith(f"{runs[1]} was trained on 390 images") and "with 400 images" in told
    (entry, _) = json.loads((Path(runs[0]) / "evaluation.json").read_text())
    assert entry["step"] == 8 and entry["samples"] == 150 and entry["sampling_seed"] == 3
    assert entry["source"].endswith("step-8")


def test_a_checkpoint_by_name_and_an_export(runs: list[str], tmp_path: Path) -> None:
    export_generator(load_generator(runs[0]), str(tmp_path / "export"))
    options = OPTIONS | {"output": str(tmp_path / "a.json"), "config": read_config(runs[0])}
    both = [runs[0], str(tmp_path / "export")]
    with pytest.raises(UserError, match=r"export is a SavedModel, .*--trust_saved_models"):
        evaluate_runs(both, **options)  # type: ignore[arg-type]
    options["trusts_saved_models"] = True
    evaluate_runs(both, **options)  # type: ignore[arg-type]
    of_run, of_export = values(tmp_path / "a.json")
    assert of_run == of_export
    options |= {"output": str(tmp_path / "b.json"), "checkpoint": "step-4"}
    evaluate_runs([runs[0]], **options)  # type: ignore[arg-type]
    assert values(tmp_path / "b.json")[0] != of_run


def test_a_foreign_saved_model_runs_only_when_the_user_says_so(
    runs: list[str], tmp_path: Path
) -> None:
    """The features of this one come with a file of the user's."""
    images = tf.TensorSpec([None, 8, 8, 1], tf.float32)

    @tf.function(input_signature=[images])
    def spying(x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.io.write_file(str(tmp_path / "stolen"), tf.io.read_file(__file__))
        return {"features": tf.reduce_mean(x, [2, 3])}

    tf.saved_model.save(tf.Module(), str(tmp_path / "spy"), signatures=spying)
    config = read_config(runs[0])
    config.evaluation.extractor = str(tmp_path / "spy")
    options = OPTIONS | {"config": config, "output": str(tmp_path / "a.json")}
    with pytest.raises(UserError, match=r"spy is a SavedModel, .*--trust_saved_models"):
        evaluate_runs(runs[:1], **options)  # type: ignore[arg-type]
    assert not (tmp_path / "stolen").exists()
    evaluate_runs(runs[:1], **options, trusts_saved_models=True)  # type: ignore[arg-type]
    assert (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"checkpoint": "step-5"}, "--checkpoint=step-5: .* but step-4, step-8"),
        ({"checkpoint": "best"}, "no such checkpoint"),
        ({"count": 100}, "100 samples cannot .* of 128 features: give --count=129 or"),
        ({"count": 300}, "the set has 400: set --count=200 or"),
    ],
)
def test_what_cannot_be_evaluated(runs: list[str], changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        evaluate_runs(runs, **(OPTIONS | changes))  # type: ignore[arg-type]


def test_the_output_is_tried_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = OPTIONS | {"output": str(tmp_path / "file/a.json")}
    with pytest.raises(UserError, match=r"--output=.* is a folder"):
        evaluate_runs(["none"], **OPTIONS | {"output": str(tmp_path)})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"--output=.*file/a\.json cannot be written"):
        evaluate_runs(["nowhere"], **options)  # type: ignore[arg-type]


def test_an_export_alone_does_not_say_what_is_real(runs: list[str], tmp_path: Path) -> None:
    export_generator(load_generator(runs[0]), str(tmp_path / "export"))
    with pytest.raises(UserError, match="give the --config"):
        evaluate_runs([str(tmp_path / "export")], **OPTIONS)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["drawn.npz", "drawn"])
def test_pictures_score_as_the_run_that_drew_them(
    name: str, runs: list[str], tmp_path: Path
) -> None:
    drawn = str(tmp_path / name)
    write_samples(Sampler(load_generator(runs[0])), 3, 150, drawn)
    options = OPTIONS | {"output": str(tmp_path / "a.json"), "config": read_config(runs[0])}
    evaluate_runs([runs[0], drawn], **options)  # type: ignore[arg-type]
    of_run, of_pictures = values(tmp_path / "a.json")
    # Of the same images, in another order.
    assert of_run == pytest.approx(of_pictures, rel=1e-9)


def test_pictures_as_the_real_set(runs: list[str], noisy_records: str, tmp_path: Path) -> None:
    """The images of the records, outside them, score what the records do."""
    parts = batches_in_order(noisy_records, read_manifest(noisy_records))
    np.savez(tmp_path / "real.npz", images=np.concatenate([images for images, _ in parts]))
    options = OPTIONS | {"config": read_config(runs[0]), "count": 200}
    found = []
    for real in (None, str(tmp_path / "real.npz")):
        output = str(tmp_path / "a.json")
        evaluate_runs(runs[:1], **options | {"real": real, "output": output})  # type: ignore[arg-type]
        found += values(output)
    fid = next(name for name in found[0] if name.startswith("fid"))
    # Another half of the same noise is compared with.
    assert found[0] != found[1] and found[0][fid] == pytest.approx(found[1][fid], rel=0.2)


def test_pictures_that_cannot_be_compared(runs: list[str], tmp_path: Path) -> None:
    options = OPTIONS | {"output": str(tmp_path / "a.json"), "config": read_config(runs[0])}
    (tmp_path / "mixed").mkdir()
    few, large = str(tmp_path / "few.npz"), str(tmp_path / "large.npz")
    for index in range(150):
        side = 8 + index // 149
        Image.new("L", (side, side)).save(tmp_path / "mixed" / f"{index:03}.png")
    np.savez(few, images=np.zeros((140, 8, 8, 1), np.uint8))
    np.savez(large, images=np.zeros((150, 8, 9, 1), np.uint8))
    with pytest.raises(UserError, match="140 pictures, fewer than 150: give --count=140"):
        evaluate_runs([few], **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="images of 8x9x1, and the real ones are 8x8x1"):
        evaluate_runs([large], **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"149\.png has 9x9 pixels, and .*000\.png 8x8"):
        evaluate_runs([str(tmp_path / "mixed")], **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"no run but pictures.*--config.* or --real=PATH"):
        evaluate_runs([few], **options | {"config": None})  # type: ignore[arg-type]
