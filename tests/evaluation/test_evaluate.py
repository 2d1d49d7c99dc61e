"""The evaluator on features that are known, without a network."""

import dataclasses

import numpy as np
import pytest

from trainer.errors import UserError
from trainer.evaluation.evaluate import Evaluator, features_of, is_better
from trainer.evaluation.features import Features
from trainer.evaluation.neighbours import duplicate_threshold, manifold_contributions
from trainer.evaluation.reference import Reference
from trainer.evaluation.statistics import frechet_distance, moments

COUNT = 200


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Four pixels are the features, and which of them is the brightest is the class."""

    name: str = "pixels4_00000000"
    feature_size: int = 4
    num_classes: int = 4

    def __call__(self, images: np.ndarray) -> Features:
        values = images.reshape(len(images), 4).astype(np.float64)
        return Features(values, np.eye(4)[values.argmax(axis=1)])


def pictures(seed: int, count: int, most: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most, (count, 2, 2, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def reference() -> Reference:
    features = Pixels()(pictures(0, 2 * COUNT + 50))
    values = features.values.astype(np.float32)
    places, threshold = np.arange(len(values)), duplicate_threshold(values)
    # The classifier is right about every second image.
    labels = (values.argmax(axis=1) + places % 2) % 4
    return Reference(
        Pixels(), values, features.probabilities, labels, places, threshold, "12345678"
    )


@pytest.fixture(scope="module")
def evaluator(reference: Reference) -> Evaluator:
    return Evaluator(reference, COUNT)


def test_the_set_is_split_without_overlap(reference: Reference) -> None:
    real, floor, train = reference.split(COUNT)
    assert len(real.features) == len(floor.features) == COUNT
    assert not set(real.places) & set(floor.places)
    assert not set(train.places) & set(floor.places)
    assert len(train.features) == COUNT + 50
    with pytest.raises(UserError, match=r"the set has 450: set --config.evaluation.images=225"):
        reference.split(226)


def test_measures_are_those_of_the_functions(evaluator: Evaluator, reference: Reference) -> None:
    fake = pictures(1, COUNT)
    found = evaluator.evaluate([fake[:50], fake[50:]], "somewhere", 7, 3)
    values, real = fake.reshape(COUNT, 4), reference.features[:COUNT]
    expected = frechet_distance(moments(real), moments(values))
    assert found.measures["fid_pixels4_00000000"].value == pytest.approx(expected)
    scores = manifold_contributions(real, values)
    for name in ("precision", "recall", "density", "coverage"):
        measure = found.measures[f"{name}_pixels4_00000000"]
        assert measure.value == pytest.approx(getattr(scores, name).mean())
        assert measure.low <= measure.value <= measure.high
    assert found.measures["modes_pixels4_00000000"].value == 4
    assert (found.step, found.sampling_seed, found.samples) == (7, 3, COUNT)
    assert (found.neighbours, found.records) == (5, "12345678")
    assert "real vs real" in found.table()


def test_the_floor_is_what_other_images_score(evaluator: Evaluator, reference: Reference) -> None:
    others = reference.features[COUNT : 2 * COUNT]
    expected = frechet_distance(moments(reference.features[:COUNT]), moments(others))
    assert evaluator.floor["fid"] == pytest.approx(expected)
    found = evaluator.measures(Features(others, reference.probabilities[COUNT : 2 * COUNT]))
    for name, measure in found.items():
        assert measure.value == measure.floor, name


def test_label_accuracy_is_the_share_that_is_read_back(evaluator: Evaluator) -> None:
    fake = pictures(1, COUNT)
    right = fake.reshape(COUNT, 4).argmax(axis=1)
    asked = np.where(np.arange(COUNT) < 30, right, (right + 1) % 4)
    found = evaluator.evaluate([fake], "somewhere", 7, 3, asked).measures
    accuracy = found["label_accuracy_pixels4_00000000"]
    assert accuracy.value == 30 / COUNT and accuracy.low < 30 / COUNT < accuracy.high
    assert accuracy.floor == 0.5
    assert not any("label" in name for name in evaluator.evaluate([fake], "", 7, 3).measures)


def test_a_constant_generator_and_dim_images_score_badly(evaluator: Evaluator) -> None:
    constant = evaluator.measures(Pixels()(np.full((COUNT, 2, 2, 1), 100, np.uint8)))
    for name, value in (("recall", 0), ("near_duplicates", 1), ("modes", 1)):
        assert constant[f"{name}_pixels4_00000000"].value == value
    dim = evaluator.measures(Pixels()(pictures(2, COUNT, most=64)))
    good = evaluator.measures(Pixels()(pictures(2, COUNT)))
    for name in ("fid", "kid"):
        full = f"{name}_pixels4_00000000"
        assert dim[full].value > 10 * abs(good[full].value)


def test_features_do_not_depend_on_the_blocks() -> None:
    images = pictures(0, 10)
    one, many = features_of(Pixels(), [images]), features_of(Pixels(), list(images[:, None]))
    np.testing.assert_array_equal(one.values, many.values)


def test_which_is_better() -> None:
    assert is_better("fid_mnist64_12345678", 1.0, 2.0)
    assert is_better("class_kl", 1.0, 2.0)
    assert is_better("coverage_mnist64_12345678", 2.0, 1.0)
    assert not is_better("coverage", 1.0, 1.0)
