"""Features by a user's own Keras model or SavedModel."""

import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.examples import pixels
from trainer.errors import UserError
from trainer.evaluation.features import Extractor, load_extractor

COLOUR = (8, 8, 3)


def load(path: Path, shape: tuple[int, int, int] = COLOUR) -> Extractor:
    return load_extractor(str(path), "none", shape)


def model(inputs: keras.KerasTensor | None = None, layer: keras.Layer | None = None) -> keras.Model:
    inputs = keras.Input(COLOUR) if inputs is None else inputs
    return keras.Model(inputs, (layer or keras.layers.AveragePooling2D(4))(inputs))


def scaled(images: np.ndarray) -> np.ndarray:
    return images / 127.5 - 1.0


def saved(kind: str, folder: Path, made: keras.Model) -> Path:
    path = folder / ("own.keras" if kind == "keras" else "own")
    if kind == "keras":
        made.save(path)
    else:
        made.export(str(path), verbose=False)
    return path


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_first_output_flattened(kind: str, tmp_path: Path) -> None:
    taken = keras.Input(COLOUR)
    means = keras.layers.AveragePooling2D(4)(taken)
    path = saved(kind, tmp_path, keras.Model(taken, [means, keras.layers.Flatten()(taken)]))
    extractor = load(path)
    assert re.fullmatch(r"own12_[0-9a-f]{8}", extractor.name)
    assert (extractor.feature_size, extractor.num_classes) == (12, 0)
    inputs = pixels(70, *COLOUR)
    features = extractor(inputs)
    assert features.probabilities is None
    expected = scaled(inputs).reshape(70, 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(70, 12)
    np.testing.assert_allclose(features.values, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_models_with_weights(kind: str, tmp_path: Path) -> None:
    made = model(layer=keras.layers.Conv2D(5, 8))
    extractor = load(saved(kind, tmp_path, made))
    inputs = pixels(3, *COLOUR)
    expected = made(scaled(inputs).astype(np.float32)).numpy().reshape(3, 5)
    np.testing.assert_allclose(extractor(inputs).values, expected, rtol=1e-4, atol=1e-5)


def test_grey_is_repeated_and_resized(tmp_path: Path) -> None:
    path = saved("keras", tmp_path, model(layer=keras.layers.AveragePooling2D(1)))
    grey = np.full([2, 20, 30, 1], 51, np.uint8)
    np.testing.assert_allclose(load(path, (20, 30, 1))(grey).values, scaled(51), atol=1e-6)
    # Antialiasing: columns of black and white become an even grey.
    stripes = np.tile(np.array([0, 255], np.uint8), [2, 64, 32])[..., None]
    values = load(path, (64, 64, 1))(stripes).values
    assert values.shape == (2, 192) and abs(values).max() < 0.05


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_hash_is_of_the_files(kind: str, tmp_path: Path) -> None:
    path = saved(kind, tmp_path, model(layer=keras.layers.Dense(2)))
    copy = tmp_path / "elsewhere" / path.name
    copy.parent.mkdir()
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    assert load(copy).name == load(path).name
    if path.is_dir():
        assert load_extractor(f"{path}/", "none", COLOUR).name == load(path).name
    other = saved(kind, copy.parent, model(layer=keras.layers.Dense(2)))
    assert other == copy and load(copy).name != load(path).name


def test_keras_models_that_will_not_do(tmp_path: Path) -> None:
    def check(made: keras.Model, message: str, shape: tuple[int, int, int] = COLOUR) -> None:
        with pytest.raises(UserError, match=message):
            load(saved("keras", tmp_path, made), shape)

    first, second = keras.Input(COLOUR), keras.Input(COLOUR)
    check(keras.Model([first, second], first + second), "takes 2 inputs: give a model that takes")
    check(model(keras.Input((None, None, 3))), "images of any size, .*: save it for one, such as")
    check(model(keras.Input(COLOUR, dtype="uint8")), r"takes uint8 \(None, 8, 8, 3\): give a model")
    check(model(keras.Input(COLOUR, batch_size=4)), r"takes float32 \(4, 8, 8, 3\): give a model")
    check(model(keras.Input((8, 8)), keras.layers.Flatten()), r"takes float32 \(None, 8, 8\)")
    check(model(), "takes images of 3 channels and these have 4: give a model", (8, 8, 4))
    check(model(keras.Input((8, 8, 1))), "takes images of 1 channels and these have 3: give")
    whole = keras.layers.Reshape((-1,))(first)
    total = keras.Model(first, keras.ops.mean(whole))
    check(total, r"gives numbers of shape \(\) for 2 images: give a model whose first output")
    untrusted = model(layer=keras.layers.Lambda(lambda x: x))
    refused = r"own.keras cannot be loaded and run \(.*Keras's own layers without Lambda"
    check(untrusted, refused)
    program = saved("saved_model", tmp_path, model())
    inside = keras.layers.TFSMLayer(str(program), call_endpoint="serving_default")
    check(model(layer=inside), refused)


def test_broken_files(tmp_path: Path) -> None:
    (tmp_path / "own.keras").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"own.keras cannot be loaded and run \("):
        load(tmp_path / "own.keras")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"own cannot be loaded and run \("):
        load(tmp_path / "own")


def test_saved_models_that_will_not_do(tmp_path: Path) -> None:
    path = tmp_path / "own"
    module = tf.Module()
    tf.saved_model.save(module, str(path))
    with pytest.raises(UserError, match=r"no signature serving_default: export it with model\."):
        load(path)
    batch = tf.TensorSpec([None, *COLOUR], tf.float32)
    both = tf.function(lambda a, b: {"sum": a + b}, input_signature=[batch, batch])
    tf.saved_model.save(module, str(path), signatures=both)
    with pytest.raises(UserError, match="takes 2 inputs: give a model that takes images only"):
        load(path)
