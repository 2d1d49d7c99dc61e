"""Every measure on the real MNIST: what harms images must show where it should, and only there."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.helpers.mnist import real_mnist_dir
from trainer.data.sources import open_source
from trainer.evaluation.evaluate import Evaluator
from trainer.evaluation.features import Extractor, load_extractor
from trainer.evaluation.neighbours import duplicate_threshold
from trainer.evaluation.reference import Reference

COUNT = 1000
TRAIN = 4000
Measured = dict[str, dict[str, float]]
Labelled = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("mnist", "", (28, 28, 1))


def images_and_labels(kind: str, count: int) -> Labelled:
    examples = open_source(f"{kind}:{real_mnist_dir()}").examples()
    taken = [next(examples) for _ in range(count)]
    return np.stack([image for image, _ in taken]), np.array([label for _, label in taken])


@pytest.fixture(scope="module")
def evaluator(extractor: Extractor) -> Evaluator:
    train, labels = images_and_labels("idx", TRAIN)
    features = extractor(train)
    values = features.values.astype(np.float32)
    places, threshold = np.arange(TRAIN), duplicate_threshold(values)
    return Evaluator(
        Reference(extractor, values, features.probabilities, labels, places, threshold, "0"), COUNT
    )


@pytest.fixture(scope="module")
def test_set() -> Labelled:
    return images_and_labels("idx-test", 6000)


@pytest.fixture(scope="module")
def measured(evaluator: Evaluator, extractor: Extractor, test_set: Labelled) -> Measured:
    images, labels = test_set
    rng = np.random.default_rng(0)
    noisy = images + rng.normal(0, 50, images.shape)
    sets = {
        "real": images[:COUNT],
        "noise": np.clip(noisy, 0, 255).astype(np.uint8)[:COUNT],
        "blur": gaussian_filter(images[:COUNT], (0, 1.5, 1.5, 0)),
        "nine classes": images[labels != 3][:COUNT],
        "five classes": images[labels < 5][:COUNT],
        "few images": images[rng.integers(20, size=COUNT)],
        "training images": images_and_labels("idx", COUNT)[0],
    }
    suffix = f"_{extractor.name}"
    return {
        name: {
            measure.removesuffix(suffix): found.value
            for measure, found in evaluator.measures(extractor(given)).items()
        }
        for name, given in sets.items()
    }


def test_real_images_score_their_floor(measured: Measured, evaluator: Evaluator) -> None:
    real, floor = measured["real"], evaluator.floor
    assert real["fid"] < 2 * floor["fid"]
    for name in ("precision", "recall", "coverage", "classifier_score"):
        assert real[name] > 0.9 * floor[name], name
    assert real["modes"] == 10 and real["class_kl"] < 0.02 and real["memorised"] < 0.05


RISES = [
    *(("noise", "fid", 5), ("noise", "kid", 5), ("blur", "fid", 5), ("blur", "kid", 5)),
    *(("nine classes", "fid", 1.5), ("nine classes", "class_kl", 5)),
    *(("five classes", "fid", 10), ("five classes", "class_kl", 40)),
    *(("few images", "fid", 3), ("few images", "near_duplicates", 20)),
    ("training images", "memorised", 10),
]
FALLS = [
    *(("noise", "coverage", 1.4), ("noise", "recall", 1.8)),
    *(("blur", "coverage", 4), ("blur", "recall", 10)),
    *(("five classes", "coverage", 1.5), ("five classes", "recall", 1.3)),
    *(("five classes", "modes", 1.9), ("nine classes", "modes", 1.1)),
    *(("few images", "coverage", 2), ("few images", "recall", 2)),
]


def test_what_rises_and_what_falls(measured: Measured) -> None:
    for harm, name, factor in RISES:
        assert measured[harm][name] > factor * abs(measured["real"][name]), (harm, name)
    for harm, name, factor in FALLS:
        assert measured[harm][name] * factor < measured["real"][name], (harm, name)


def test_precision_does_not_see_missing_variety(measured: Measured) -> None:
    """Why it is never reported alone."""
    for harm in ("nine classes", "five classes", "few images"):
        assert measured[harm]["precision"] > 0.9 * measured["real"]["precision"]
