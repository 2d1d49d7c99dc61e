import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.damage import flip_a_bit
from tests.helpers.examples import pixels
from tests.helpers.mnist import real_mnist_dir
from trainer.data.sources import open_source
from trainer.errors import UserError
from trainer.evaluation import features
from trainer.evaluation.classifier import Classifier, build_network
from trainer.evaluation.classifier_training import accuracy

MNIST_WEIGHTS = Path(features.__file__).with_name("weights") / "mnist.npz"
MNIST_HASH = "83bbad35"


def untrained(seed: int = 0) -> Classifier:
    return Classifier.of(build_network((9, 7, 3), 4, seed))


def rewritten(path: Path, **changes: Any) -> None:
    """The file with some arrays replaced, or left out where None, and not compressed."""
    arrays = dict(np.load(path)) | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    untrained().save(str(tmp_path / "classifier.npz"))
    return tmp_path / "classifier.npz"


def test_round_trip(saved: Path) -> None:
    classifier, loaded = untrained(), Classifier.load(str(saved))
    assert (loaded.image_shape, loaded.num_classes) == ((9, 7, 3), 4)
    assert loaded.content_hash == classifier.content_hash
    inputs = pixels(5, 9, 7, 3)
    for ours, theirs in zip(classifier.network()(inputs), loaded.network()(inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [path.name for path in saved.parent.iterdir()] == ["classifier.npz"]


def test_the_network() -> None:
    values, logits = untrained().network()(pixels(5, 9, 7, 3))
    assert values.shape == (5, 64) and logits.shape == (5, 4)
    assert (values >= 0.0).numpy().all() and (values > 0.0).numpy().any()


def test_weights_are_those_that_are_rounded() -> None:
    network = build_network((9, 7, 3), 4, 0)
    for weight, rounded in zip(network.get_weights(), untrained().weights, strict=True):
        assert rounded.dtype == np.float16
        np.testing.assert_allclose(rounded, weight, rtol=2**-11, atol=2**-25)


def test_seeds() -> None:
    assert untrained(0).content_hash == untrained(0).content_hash != untrained(1).content_hash


def test_hash_is_of_the_weights_alone(saved: Path) -> None:
    classifier = untrained()
    of_bytes = hashlib.sha256(b"".join(weight.tobytes() for weight in classifier.weights))
    assert classifier.content_hash == of_bytes.hexdigest()[:8]
    before = saved.read_bytes()
    rewritten(saved)
    assert saved.read_bytes() != before
    assert Classifier.load(str(saved)).content_hash == classifier.content_hash
    bias = classifier.weights[-1].copy()
    bias[0] = 2.0**-24
    rewritten(saved, logits_bias=bias)
    assert Classifier.load(str(saved)).content_hash != classifier.content_hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema version 2 and this program reads 1: update the program"),
        ({"schema_version": None}, "damaged (KeyError: .*): train it again with python -m"),
        ({"logits_bias": None}, "no classifier, or damaged (KeyError: 'logits_bias"),
        ({"logits_bias": np.zeros(4)}, "logits_bias of float64 [4], not float16 [4]: train it"),
        ({"logits_bias": np.zeros(3, np.float16)}, "of float16 [3], not float16 [4]"),
        ({"num_classes": 5}, "logits_kernel of float16 [64, 4], not float16 [64, 5]"),
        ({"image_shape": [28, 28]}, "no classifier, or damaged (ValueError: "),
        ({"logits_bias": np.array([None])}, "damaged (ValueError: Object arrays cannot be loaded"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_files_that_do_not_fit(saved: Path, changes: dict[str, Any], message: str) -> None:
    rewritten(saved, **changes)
    with pytest.raises(UserError, match=re.escape(message).replace(r"\.\*", ".*")):
        Classifier.load(str(saved))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",  # the middle lies in the largest kernel
    [half, flip_a_bit, lambda path: path.write_bytes(b""), lambda path: path.write_text("no zip")],
)
def test_broken_files(saved: Path, damage: Callable[[Path], object]) -> None:
    damage(saved)
    with pytest.raises(UserError, match=r"classifier\.npz is no classifier, or damaged \("):
        Classifier.load(str(saved))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.npz cannot be read \(.*\): check the path"):
        Classifier.load(str(tmp_path / "none.npz"))


def test_committed_weights() -> None:
    classifier = Classifier.load(str(MNIST_WEIGHTS))
    assert classifier.content_hash == MNIST_HASH
    extractor = features.load_extractor("mnist", "none", (28, 28, 1))
    assert extractor.name == f"mnist64_{MNIST_HASH}"
    assert (classifier.image_shape, classifier.num_classes) == ((28, 28, 1), 10)
    assert MNIST_WEIGHTS.stat().st_size < 2**20


def test_committed_weights_on_the_real_test_images() -> None:
    source = open_source(f"idx-test:{real_mnist_dir()}")
    assert source.num_images == 10_000
    examples, labels = zip(*source.examples(), strict=True)
    network = Classifier.load(str(MNIST_WEIGHTS)).network()
    assert accuracy(network, np.stack(examples), np.array(labels)) >= 0.992
