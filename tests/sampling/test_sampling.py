import errno
import io
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.stats import norm, truncnorm
from tensorflow.python.saved_model import fingerprinting_utils

from tests.helpers.tiny import tiny_config
from tests.helpers.variants import changed
from trainer.errors import DiskError, UserError
from trainer.gan.build import build_generator
from trainer.sampling.export import export_generator
from trainer.sampling.pictures import class_grid, grid, timelapse
from trainer.sampling.sampler import Sampler, slerp, to_uint8
from trainer.sampling.writing import write_interpolations, write_samples
from trainer.storage.files import temporary_name
from trainer.storage.png import png


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler(build_generator(tiny_config()))


def drawn(sampler: Sampler, seed: int, count: int) -> np.ndarray:
    return np.concatenate(list(sampler.images(seed, count)))


def test_an_image_is_a_function_of_seed_and_index(sampler: Sampler) -> None:
    many, few = drawn(sampler, 3, 130), drawn(sampler, 3, 7)
    assert many.shape == (130, 8, 8, 1) and many.dtype == np.uint8
    np.testing.assert_array_equal(many[:7], few)
    assert len(np.unique(many.reshape(130, -1), axis=0)) == 130
    assert (drawn(sampler, 4, 7) != few).any()


def test_to_uint8_rounds_and_covers_the_range() -> None:
    values = tf.constant([-1.0, -0.999, 0.0, 0.5, 1.0])
    np.testing.assert_array_equal(to_uint8(values), [0, 0, 128, 191, 255])


def test_slerp_keeps_angle_and_length() -> None:
    start, end = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    angle = np.deg2rad(30)
    np.testing.assert_allclose(
        slerp(start, end, 1 / 3), [[2 * np.cos(angle), 2 * np.sin(angle)]], rtol=1e-12
    )
    np.testing.assert_allclose(slerp(start, 3 * start, 0.5), 2 * start)


def test_grid_places_images_row_by_row() -> None:
    images = np.stack([np.full((3, 4, 1), value, np.uint8) for value in (10, 20, 30)])
    sheet = grid(images, columns=2)
    assert sheet.shape == (2 * 5 + 2, 2 * 6 + 2, 1)
    assert [sheet[2, 2, 0], sheet[2, 8, 0], sheet[7, 2, 0], sheet[7, 8, 0]] == [10, 20, 30, 0]


def test_timelapse_has_a_frame_for_each_grid(tmp_path: Path) -> None:
    paths = []
    for value in (0, 100, 200):
        paths.append(str(tmp_path / f"{value}.png"))
        Path(paths[-1]).write_bytes(png(np.full((6, 5, 1), value, np.uint8)))
    gif = Image.open(io.BytesIO(timelapse(paths)))
    assert gif.n_frames == 3 and gif.size == (5, 6)
    gif.seek(1)
    assert gif.convert("L").getpixel((0, 0)) == 100


def test_an_export_that_fails_leaves_the_earlier_one(
    sampler: Sampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "saved_model.pb").write_text("earlier")

    def fill_the_disk(module: object, path: str, **more: object) -> None:
        (Path(path) / "variables").mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fill_the_disk)
    with pytest.raises(DiskError):
        export_generator(sampler.generator, str(folder))
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "saved_model.pb"]
    for output in (folder / "saved_model.pb", folder / "saved_model.pb/deeper"):
        with pytest.raises(UserError, match=r"--output=.* cannot be written"):
            export_generator(sampler.generator, str(output))


def test_an_export_that_cannot_be_read_back(
    sampler: Sampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow's fingerprint: as ValueErrors, with the disk's words or with others."""
    told = iter(("PERMISSION_DENIED: {}; Permission denied", "NOT_FOUND: {} is empty"))

    def write_fingerprint(folder: str) -> None:
        why = next(told).format(f"{folder}/fingerprint.pb")
        raise ValueError(f"Could not create singleprint.\n{why}")

    monkeypatch.setattr(fingerprinting_utils, "write_fingerprint", write_fingerprint)
    Path(re.sub(r"\d+$", "999999999", temporary_name(f"{tmp_path}/out"))).mkdir()  # of a killed one
    with pytest.raises(DiskError, match=rf"^{tmp_path}/out.*fingerprint.pb cannot .*let it write"):
        export_generator(sampler.generator, str(tmp_path / "out"))
    with pytest.raises(DiskError, match=f"^{tmp_path}/out cannot be written and read back .Could"):
        export_generator(sampler.generator, str(tmp_path / "out"))
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_outputs_hold_the_same_images(sampler: Sampler, tmp_path: Path) -> None:
    wanted = drawn(sampler, 5, 70)
    for name in ("a.npz", "a.png", "folder"):
        write_samples(sampler, 5, 70, str(tmp_path / "new" / name))
    np.testing.assert_array_equal(np.load(tmp_path / "new/a.npz")["images"], wanted)
    np.testing.assert_array_equal(Image.open(tmp_path / "new/a.png"), grid(wanted).squeeze(2))
    files = sorted((tmp_path / "new/folder").iterdir())
    assert len(files) == 70
    np.testing.assert_array_equal(Image.open(files[69]), wanted[69].squeeze(2))


def test_a_walk_starts_at_the_first_samples_and_moves(sampler: Sampler, tmp_path: Path) -> None:
    walks = sampler.interpolation(seed=5, rows=3, columns=4).reshape(3, 4, 8, 8, 1)
    np.testing.assert_allclose(walks[:, 0].astype(int), drawn(sampler, 5, 3), atol=1)
    assert (walks[:, 0] != walks[:, 3]).any()
    write_interpolations(sampler, 5, 3, 4, str(tmp_path / "walk.png"))
    assert Image.open(tmp_path / "walk.png").size == (4 * 10 + 2, 3 * 10 + 2)
    with pytest.raises(UserError, match="drawn as a picture"):
        write_interpolations(sampler, 5, 3, 4, str(tmp_path / "walk.npz"))


def test_the_export_needs_only_tensorflow_and_agrees(sampler: Sampler, tmp_path: Path) -> None:
    export_generator(sampler.generator, str(tmp_path / "export"))
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    sample = loaded.signatures["sample"]
    assert set(sample.structured_input_signature[1]) == {"seed", "count"}
    images = sample(seed=tf.constant(3, tf.int64), count=tf.constant(70, tf.int64))["images"]
    np.testing.assert_array_equal(images, drawn(sampler, 3, 70))
    latents = sampler.latents(tf.constant(3, tf.int64), tf.constant(0, tf.int64))
    images = loaded.signatures["serving_default"](latents=latents)["images"]
    assert images.dtype == tf.float32
    np.testing.assert_array_equal(to_uint8(images), drawn(sampler, 3, 64))


@pytest.fixture(scope="module")
def conditional() -> Sampler:
    return Sampler(build_generator(changed(tiny_config(), {"model.num_classes": 3})))


def test_classes_come_in_turn_or_as_asked(conditional: Sampler) -> None:
    in_turn, twos = (
        np.concatenate(list(conditional.images(5, 70, *label))) for label in ((), (2,))
    )
    np.testing.assert_array_equal(conditional.labels(5), [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(conditional.labels(5, 2), [2] * 5)
    same = [(a == b).all() for a, b in zip(in_turn, twos, strict=True)]
    np.testing.assert_array_equal(same, np.arange(70) % 3 == 2)


def test_class_grid_has_a_row_for_each_class() -> None:
    images = np.stack([np.full((3, 3, 1), 10 * (i + 1), np.uint8) for i in range(5)])
    sheet = class_grid(images, np.array([0, 1, 0, 1, 0]))
    first_row, second_row = sheet[2, 2::5, 0], sheet[7, 2::5, 0]
    np.testing.assert_array_equal(first_row[:3], [10, 30, 50])
    np.testing.assert_array_equal(second_row[:3], [20, 40, 0])
    np.testing.assert_array_equal(class_grid(images, None), grid(images))
    np.testing.assert_array_equal(class_grid(images, np.full(5, 7)), grid(images))


def test_conditional_outputs_hold_the_labels(conditional: Sampler, tmp_path: Path) -> None:
    wanted = drawn(conditional, 5, 7)
    write_samples(conditional, 5, 7, str(tmp_path / "a.npz"))
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], wanted)
        np.testing.assert_array_equal(arrays["labels"], np.arange(7) % 3)
    write_samples(conditional, 5, 7, str(tmp_path / "a.png"))
    np.testing.assert_array_equal(
        Image.open(tmp_path / "a.png"), class_grid(wanted, np.arange(7) % 3).squeeze(2)
    )
    write_samples(conditional, 5, 7, str(tmp_path / "folder"))
    assert sorted(p.name for p in (tmp_path / "folder/1").iterdir()) == ["000001.png", "000004.png"]
    write_samples(conditional, 5, 7, str(tmp_path / "named"), 2, ("cat", "dog", "fire truck"))
    assert len(list((tmp_path / "named/fire truck").iterdir())) == 7


def test_a_conditional_export_takes_labels(conditional: Sampler, tmp_path: Path) -> None:
    export_generator(conditional.generator, str(tmp_path / "export"))
    signatures = tf.saved_model.load(str(tmp_path / "export")).signatures
    seed, count, label = (tf.constant(number, tf.int64) for number in (3, 70, 2))
    twos = signatures["sample"](seed=seed, count=count, label=label)["images"]
    np.testing.assert_array_equal(twos, np.concatenate(list(conditional.images(3, 70, 2))))
    in_turn = signatures["sample"](seed=seed, count=count, label=tf.constant(-1, tf.int64))
    np.testing.assert_array_equal(in_turn["images"], drawn(conditional, 3, 70))
    latents = conditional.latents(seed, tf.constant(0, tf.int64))
    images = signatures["serving_default"](latents=latents, labels=tf.fill([64], 2))["images"]
    np.testing.assert_array_equal(to_uint8(images), twos[:64])


def test_truncation_draws_the_middle_of_the_distribution(sampler: Sampler) -> None:
    zero = tf.constant(0, tf.int64)
    plain = sampler.latents(zero, zero).numpy()
    latents = Sampler(sampler.generator, truncation=0.5).latents(zero, zero).numpy()
    assert np.abs(latents).max() <= 0.5 < np.abs(plain).max()
    np.testing.assert_allclose(latents, truncnorm(-0.5, 0.5).ppf(norm.cdf(plain)), atol=1e-5)
