import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.damage import flip_a_bit
from tests.helpers.examples import pixels, prepared
from tests.helpers.programs import assert_teaches_and_refuses, run_module
from trainer.data.preparation import prepare
from trainer.data.sources import open_source
from trainer.errors import UserError
from trainer.evaluation import classifier_training
from trainer.evaluation.classifier import Classifier
from trainer.evaluation.classifier_training import shifted, train_classifier
from trainer.storage.png import png

TRAIN = "trainer.evaluation.train_classifier"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Records of the 1,797 digits of 16x16."""
    folder = str(tmp_path_factory.mktemp("digits"))
    prepare("digits", folder, shards=2, resolution=16)
    return folder


def records(folder: Path, count: int, labels: np.ndarray | None) -> str:
    """Prepared records of random images of 4x4x3."""
    return prepared(folder, pixels(count, 4, 4, 3), labels, shards=1)


def test_it_learns_digits(digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "new" / "classifier.npz")
    accuracy = train_classifier(digits, output, epochs=10)
    assert accuracy > 0.9
    lines = capsys.readouterr().out.splitlines()
    numbers = [
        re.fullmatch(r"epoch \d+/10  loss ([\d.]+)  accuracy (0\.\d+)", s) for s in lines[:-1]
    ]
    losses, accuracies = zip(*((float(m[1]), float(m[2])) for m in numbers if m), strict=True)
    assert len(losses) == 10 and losses[-1] < losses[0] / 2 and accuracies[-1] > accuracies[0]
    classifier = Classifier.load(output)
    assert lines[-1] == (
        f"{output}: accuracy {accuracy:.4f} on 179 images of {digits}, "
        f"hash {classifier.content_hash}"
    )
    assert (classifier.image_shape, classifier.num_classes) == ((16, 16, 1), 10)


def test_a_seed_decides_the_weights(tmp_path: Path) -> None:
    folder = records(tmp_path, 300, np.arange(300) % 3)
    hashes = []
    for index, seed in enumerate((5, 5, 6)):
        output = str(tmp_path / f"{index}.npz")
        train_classifier(folder, output, epochs=2, seed=seed)
        hashes.append(Classifier.load(output).content_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_test_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = records(tmp_path, 5, np.arange(5) % 2)
    # In colour and larger: brought to the shape of the records; of the first class only.
    np.savez(tmp_path / "test.npz", images=np.zeros([7, 9, 9], np.uint8), labels=np.zeros(7, int))
    source = f"npz:{tmp_path / 'test.npz'}"
    accuracy = train_classifier(folder, str(tmp_path / "a.npz"), epochs=1, test_source=source)
    assert accuracy in (0.0, 1.0)
    assert f"on 7 images of {source}, hash" in capsys.readouterr().out


def test_a_test_source_with_its_classes_in_another_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(records(tmp_path, 40, np.arange(40) % 2))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"class_names": ["b", "a"]}))
    for name in ("a", "b"):
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "test" / name / "1.png").write_bytes(png(pixels(1, 4, 4, 3)[0]))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(
        classifier_training, "accuracy", lambda network, images, labels: seen.append(labels) or 0.0
    )
    train_classifier(str(folder), str(tmp_path / "a.npz"), 1, 0, f"images:{tmp_path / 'test'}")
    assert sorted(seen[0]) == [0, 1]
    first = open_source(f"images:{tmp_path / 'test'}", 4, 3)
    names = [first.class_names[label] for _, label in first.examples()]
    assert [["b", "a"][label] for label in seen[0]] == names


def test_shifted() -> None:
    rng, images = np.random.default_rng(0), pixels(200, 6, 5, 2)
    found = set()
    for image, moved in zip(images, shifted(images, rng), strict=True):
        shifts = {
            (down, right)
            for down, right in itertools.product(range(-2, 3), repeat=2)
            for rows in [np.clip(np.arange(6) - down, 0, 5)]
            for columns in [np.clip(np.arange(5) - right, 0, 4)]
            if (image[rows][:, columns] == moved).all()
        }
        assert len(shifts) == 1
        found |= shifts
    assert len(found) == 25


def test_records_without_labels(tmp_path: Path) -> None:
    folder = records(tmp_path, 20, None)
    with pytest.raises(UserError, match="holds images without labels, which a classifier"):
        train_classifier(folder, str(tmp_path / "a.npz"))
    assert not (tmp_path / "a.npz").exists()


def test_bad_requests(tmp_path: Path) -> None:
    output = str(tmp_path / "a.npz")
    folder = records(tmp_path, 9, np.arange(9) % 3)
    with pytest.raises(UserError, match=r"holds 9 images, and every 10th .* --test_source\."):
        train_classifier(folder, output)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--output=.*file/a.npz cannot be written \(.*choose"):
        train_classifier(folder, str(tmp_path / "file" / "a.npz"))
    with pytest.raises(UserError, match=r"has the classes 0, 1, .* and the records 0, 1, 2: give"):
        train_classifier(folder, output, test_source="digits")
    np.savez(tmp_path / "test.npz", images=np.zeros([7, 4, 4, 3], np.uint8))
    with pytest.raises(UserError, match=r"has the classes \(none\) and the records 0, 1, 2"):
        train_classifier(folder, output, test_source=f"npz:{tmp_path / 'test.npz'}")


def test_damaged_records(tmp_path: Path) -> None:
    folder = Path(records(tmp_path, 20, np.arange(20) % 2))
    (shard,) = folder.glob("*.tfrecord")
    flip_a_bit(shard, at=50)
    with pytest.raises(UserError, match=r"is damaged or missing; .*--verify=.*records"):
        train_classifier(str(folder), str(tmp_path / "a.npz"))


def test_command_line_keeps_the_weights_beside_the_records(tmp_path: Path) -> None:
    folder = records(tmp_path, 20, np.arange(20) % 2)
    done = run_module(TRAIN, f"--records_dir={folder}", "--epochs=1")
    assert done.returncode == 0, done.stderr
    assert f"{folder}/classifier.npz: accuracy " in done.stdout
    assert Classifier.load(f"{folder}/classifier.npz").num_classes == 2


def test_the_command_line_teaches_and_refuses_bad_usage() -> None:
    bad = {
        "--records_dri=data": "error: Unknown command line flag 'records_dri'",
        "": "error: give --records_dir, a folder of prepared records",
        "--output=s3://b/x": "error: flag --output=s3://b/x: s3:// is not known",
        "--records_dir=none": "error: none holds no manifest.json: prepare it",
    }
    assert_teaches_and_refuses(TRAIN, "train_classifier --records_dir=data/fashion_mnist", bad)
