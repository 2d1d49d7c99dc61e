from pathlib import Path

import keras
import numpy as np
import pytest

from tests.helpers.examples import pixels
from trainer.data.sources import open_source
from trainer.errors import UserError
from trainer.evaluation.classifier import Classifier, build_network
from trainer.evaluation.features import Extractor, load_extractor
from trainer.evaluation.statistics import frechet_distance, moments

MNIST_SHAPE = (28, 28, 1)


def classifier_of_records(folder: Path, shape: tuple[int, int, int] = MNIST_SHAPE) -> Classifier:
    classifier = Classifier.of(build_network(shape, 3, seed=1))
    classifier.save(str(folder / "classifier.npz"))
    return classifier


def own_model(folder: Path) -> str:
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(24, 3, strides=2, activation="relu")(inputs)
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(folder / "own.keras")
    return str(folder / "own.keras")


@pytest.fixture(params=["mnist", "random", "records", "own"])
def extractor(request: pytest.FixtureRequest, tmp_path: Path) -> Extractor:
    classifier_of_records(tmp_path)
    name = own_model(tmp_path) if request.param == "own" else request.param
    return load_extractor(name, str(tmp_path), MNIST_SHAPE)


def test_features_do_not_depend_on_how_many_come_along(extractor: Extractor) -> None:
    inputs = pixels(500, *MNIST_SHAPE)
    features = extractor(inputs)
    assert features.values.shape == (500, extractor.feature_size)
    assert features.values.dtype == np.float64
    for count in (0, 1, 63, 64, 65, 499):
        some = extractor(inputs[:count])
        np.testing.assert_array_equal(some.values, features.values[:count])
        if features.probabilities is not None:
            np.testing.assert_array_equal(some.probabilities, features.probabilities[:count])


def test_probabilities(extractor: Extractor) -> None:
    features = extractor(pixels(70, *MNIST_SHAPE))
    if not extractor.num_classes:
        assert features.probabilities is None
        return
    assert features.probabilities is not None
    assert features.probabilities.shape == (70, extractor.num_classes)
    assert (features.probabilities >= 0.0).all()
    np.testing.assert_allclose(features.probabilities.sum(axis=1), 1.0, rtol=1e-14)


def test_features_of_records(tmp_path: Path) -> None:
    classifier = classifier_of_records(tmp_path, (9, 7, 3))
    extractor = load_extractor("records", str(tmp_path), (9, 7, 3))
    assert extractor.name == f"records64_{classifier.content_hash}"
    assert (extractor.feature_size, extractor.num_classes) == (64, 3)
    inputs = pixels(5, 9, 7, 3)
    values, logits = (output.numpy() for output in classifier.network()(inputs))
    features = extractor(inputs)
    np.testing.assert_allclose(features.values, values, rtol=1e-5, atol=1e-5)
    exponentials = np.exp(logits.astype(np.float64))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(features.probabilities, expected, rtol=1e-5)


def test_auto(tmp_path: Path) -> None:
    assert load_extractor("auto", str(tmp_path), MNIST_SHAPE).name.startswith("random128_")
    classifier_of_records(tmp_path)
    assert load_extractor("auto", str(tmp_path), MNIST_SHAPE).name.startswith("records64_")


@pytest.mark.parametrize(
    ("shape", "digest"),
    [((28, 28, 1), "4837c730"), ((1, 1, 1), "4837c730"), ((64, 48, 3), "797d70a4")],
)
def test_random_is_the_same_everywhere(shape: tuple[int, int, int], digest: str) -> None:
    extractor = load_extractor("random", "none", shape)
    assert extractor.name == f"random128_{digest}"
    assert (extractor.feature_size, extractor.num_classes) == (128, 0)
    again = load_extractor("random", "none", shape)
    inputs = pixels(3, *shape)
    np.testing.assert_array_equal(extractor(inputs).values, again(inputs).values)


@pytest.mark.parametrize("name", ["mnist", "random"])
def test_features_tell_worse_images(name: str) -> None:
    pairs = list(open_source("digits").examples())
    digits = np.stack([image for image, _ in pairs])
    labels = np.array([label for _, label in pairs])
    real, others = digits[:800], digits[800:1600]
    extractor = load_extractor(name, "none", MNIST_SHAPE)
    of_real = moments(extractor(real).values)

    def distance(fake: np.ndarray) -> float:
        return frechet_distance(of_real, moments(extractor(fake).values))

    floor = distance(others)
    noise = np.random.default_rng(1).normal(0.0, 20.0, others.shape)
    assert distance(np.clip(others + noise, 0, 255).astype(np.uint8)) > 1.4 * floor
    assert distance(others // 2 + np.roll(others, 1, axis=2) // 2) > 1.4 * floor  # blurred
    assert distance(others[labels[800:1600] < 5]) > 2.0 * floor
    assert distance(np.repeat(others[:100], 8, axis=0)) > 2.0 * floor


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", r"no extractor 'mnits' .* set --config\.evaluation\.extractor .* mean mnist\?"),
        ("inception.keras", "no extractor 'inception.keras' and no model of that path: set"),
        ("", "no extractor '' and no model"),
        ("records", "needs none/classifier.npz, .*train_classifier --records_dir=none"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_extractor(name, "none", MNIST_SHAPE)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("records", MNIST_SHAPE, "of 9x7x3 and these are 28x28x1: make it again with python -m"),
        ("auto", MNIST_SHAPE, "records takes images of 9x7x3 and these are 28x28x1: make it"),
        ("mnist", (32, 32, 3), "mnist takes images of 28x28x1 and these are 32x32x3: set --config"),
    ],
)
def test_extractors_of_other_images(
    name: str, shape: tuple[int, int, int], message: str, tmp_path: Path
) -> None:
    classifier_of_records(tmp_path, (9, 7, 3))
    with pytest.raises(UserError, match=message):
        load_extractor(name, str(tmp_path), shape)
