import io
import itertools
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.examples import as_set, pixels, read
from trainer.data.image_folder import in_natural_order
from trainer.data.preparation import prepare
from trainer.data.sources import fit, open_source
from trainer.data.tfrecord import read_manifest
from trainer.errors import DiskError, UserError


def test_digits() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    source = open_source("digits")
    examples = read(source)
    assert source.num_images == 1797
    assert source.image_shape == (28, 28, 1)
    assert source.class_names == tuple("0123456789")
    images = np.stack([image for image, _ in examples])[:, :, :, 0]
    assert np.bincount([label for _, label in examples]).tolist() == (
        np.bincount(digits.target).tolist()
    )
    assert images[:, :2].max() == images[:, -2:].max() == images[:, :, :2].max() == 0
    # Shrunk back, the enlarged digits are the originals; one class suffices to find each other.
    small = images[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4)) / 255 * 16
    zeros = [i for i, (_, label) in enumerate(examples) if label == 0]
    for digit in digits.images[digits.target == 0][:20]:
        assert abs(small[zeros] - digit).mean(axis=(1, 2)).min() < 1


def npz(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "a.npz", **arrays)
    return f"npz:{folder / 'a.npz'}"


@pytest.mark.parametrize("names", [("images", "labels"), ("x_train", "y_train")])
@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3)])
def test_npz(tmp_path: Path, names: tuple[str, str], shape: tuple[int, ...]) -> None:
    images, labels = pixels(4, *shape), np.array([[1], [0], [1], [3]])
    source = open_source(npz(tmp_path, **{names[0]: images, names[1]: labels}))
    assert source.class_names == ("0", "1", "2", "3")
    assert source.image_shape == (4, 4, 3 if len(shape) == 3 else 1)
    assert as_set(read(source)) == as_set(list(zip(images, [1, 0, 1, 3], strict=True)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": pixels(2, 4, 4)}, "holds neither an array `images` nor `x_train`"),
        ({"images": np.zeros([2, 4, 4])}, r"images of float64 \[2, 4, 4\]: give uint8"),
        ({"images": pixels(2, 4)}, r"images of uint8 \[2, 4\]"),
        ({"images": pixels(2, 4, 4, 2)}, "images of 2 channels"),
        ({"images": pixels(0, 4, 4)}, "has no images"),
        ({"images": pixels(2, 4, 4), "labels": np.zeros(3, int)}, "2 images and 3 labels"),
        ({"images": pixels(2, 4, 4), "labels": np.array([0, -1])}, "not whole numbers counting"),
        ({"images": pixels(2, 4, 4), "labels": np.zeros(2)}, "not whole numbers counting"),
        ({"images": np.array([{}, 1], object)}, "without pickled objects"),
        ({"images": pixels(2, 4, 4), "labels": np.array([{}, 1], object)}, "without pickled"),
        ({"images": pixels(2, 4, 4), "labels": np.array([0, 10**12])}, "at most 100000 classes"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source(npz(tmp_path, **arrays))


def as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("content", [None, b"no zip file", as_npy(pixels(2, 4, 4))], ids=range(3))
def test_unreadable_npz(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz cannot be read as an \.npz file"):
        open_source(f"npz:{tmp_path / 'a.npz'}")


@pytest.mark.parametrize(
    "member",
    [
        b"no array",
        as_npy(pixels(2, 4, 4)).replace(b"(2, 4, 4)", b"(2, 4, 4 "),  # fails in tokenize
        as_npy(pixels(2, 4, 4)).replace(b"(2, 4, 4), }     ", b"(10000000000000,), }"[:21]),
    ],
    ids=range(3),
)
def test_npz_of_odd_members(tmp_path: Path, member: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", member)
    with pytest.raises(UserError, match=r"a\.npz cannot be read as an \.npz file"):
        open_source(f"npz:{tmp_path / 'a.npz'}")


def save(path: Path, array: np.ndarray, **options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def test_images_in_class_folders(tmp_path: Path) -> None:
    colours = {"cat/1.png": 10, "cat/deep/2.PNG": 20, "dog/3.jpg": 30, "dog/4.JPEG": 40}
    for name, value in colours.items():
        save(tmp_path / name, np.full([16, 16, 3], value, np.uint8))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "dog" / "._3.jpg").write_text("left by another program")
    source = open_source(f"images:{tmp_path}", resolution=8)
    assert source.class_names == ("cat", "dog")
    assert source.image_shape == (8, 8, 3)
    found = {(round(float(image.mean())), label) for image, label in read(source)}
    assert found == {(10, 0), (20, 0), (30, 1), (40, 1)}


def test_class_folders_are_in_natural_order(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / str(i) / "a.png", np.full([4, 4], i, np.uint8))
    source = open_source(f"images:{tmp_path}", 4, 1)
    assert source.class_names == tuple(str(i) for i in range(12))
    assert all(label == image[0, 0, 0] for image, label in read(source))


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    save(tmp_path / name / os.fsdecode(b"\xff.png"), pixels(1, 4, 4)[0])
    manifest = prepare(f"images:{tmp_path}", str(tmp_path / "records"))
    assert manifest.class_names == (name,)
    assert read_manifest(str(tmp_path / "records")) == manifest
    (tmp_path / name / os.fsdecode(b"\xfe.png")).write_text("no image")
    with pytest.raises(UserError, match="cannot be read as an image") as caught:
        list(open_source(f"images:{tmp_path}").examples())
    str(caught.value).encode(errors="backslashreplace")


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog", "zebra"],
        ["Z", "a", "\u00e4"],  # by character, whatever the locale says
        ["1", "01", "2", "10"],
        ["class 2", "class 10", "class 10 b"],
        ["0", "9", "10", "cat"],
    ],
)
def test_natural_order(names: list[str]) -> None:
    expected = sorted(names) if names[0] == "1" else names
    expected = ["01", "1", "2", "10"] if names[0] == "1" else expected
    for order in itertools.permutations(names):
        assert in_natural_order(order) == tuple(expected)


def test_images_without_folders_have_no_labels(tmp_path: Path) -> None:
    for i in range(30):
        save(tmp_path / f"{i:02}.png", np.full([4, 4], i, np.uint8))
    source = open_source(f"images:{tmp_path}", channels=1)
    assert source.class_names == ()
    assert source.image_shape == (64, 64, 1)
    order = [int(image[0, 0, 0]) for image, _ in read(source)]
    assert sorted(order) == list(range(30)) != order
    assert order == [int(image[0, 0, 0]) for image, _ in read(source)]


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    array = np.zeros([8, 8, 3], np.uint8)
    array[:, :4] = 255  # left half
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying: turn by 90 degrees clockwise
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    image = read(open_source(f"images:{tmp_path}", resolution=8))[0][0]
    assert (image[:4] == 255).all() and (image[4:] == 0).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_images_of_any_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(path)
    image = read(open_source(f"images:{tmp_path}", resolution=8))[0][0]
    assert image.shape == (8, 8, 3) and (image == 255).all()


def test_broken_image_is_named(tmp_path: Path) -> None:
    save(tmp_path / "whole.png", pixels(1, 40, 40)[0])
    data = (tmp_path / "whole.png").read_bytes()
    for name, content in (("cut.png", data[:200]), ("text.jpg", b"hello"), ("empty.png", b"")):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} cannot be read as an image"):
            list(open_source(f"images:{folder}").examples())


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/b.png").symlink_to("gone.png")
    for folder, name in ((tmp_path / "link", "b"), (tmp_path, "a")):
        with pytest.raises(UserError, match=rf"{name}\.png is no file, or a link to none"):
            list(open_source(f"images:{folder}").examples())
        (tmp_path / "link/b.png").unlink(missing_ok=True)


def test_a_folder_without_images_is_no_class_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "cat.png" / "1.png", pixels(1, 4, 4)[0])  # a folder, whatever its name
    for name in ("dog", "bird", ".git"):
        (tmp_path / name).mkdir()
    assert open_source(f"images:{tmp_path}").class_names == ("cat.png",)
    assert caplog.messages == ["no classes, having no images: bird, dog"]


@pytest.mark.parametrize(
    "spec, name",
    [
        ("images:.", "a/b.png"),
        ("npz:b.npz", "b.npz"),
        ("idx:.", "train-images-idx3-ubyte"),
    ],
)
def test_a_disk_that_fails_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, name: str
) -> None:
    """/proc/self/mem is a file, and reading it fails as a broken disk does."""
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).symlink_to("/proc/self/mem")
    with pytest.raises(DiskError, match=f"{name} cannot be read .*Input/output error"):
        read(open_source(spec))


def test_image_of_16_bits_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full([4, 4], 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png has more than 8 bits a channel"):
        list(open_source(f"images:{tmp_path}").examples())


def test_loose_image_beside_class_folders(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png", pixels(1, 4, 4)[0])
    save(tmp_path / "loose.png", pixels(1, 4, 4)[0])
    with pytest.raises(UserError, match=r"loose\.png lies beside class folders such as cat"):
        open_source(f"images:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("images:{}/none", "none is not a folder"),
        ("images:~nobody-here/photos", "~nobody-here is nobody's home folder here"),
        ("images:{}", "holds no .png, .jpg or .jpeg file"),
        ("idx:{}", "holds no train-images-idx3-ubyte"),
        ("idx:{}/none", "none holds no train-images-idx3-ubyte"),
        ("idx-test:{}", "holds no t10k-images-idx3-ubyte"),
        ("mnist", "unknown source 'mnist': the forms are digits, idx:DIR, "),
        ("image:photos", "unknown source .* did you mean images?"),
        ("digit", "did you mean digits?"),
        ("", "unknown source ''"),
        ("images:", "unknown source 'images:'"),
        ("npz", "unknown source 'npz'"),
        ("digits:8", "unknown source 'digits:8'"),
        ("npz:gs://bucket/a.npz", "gs://, and sources are read from local disks: copy it"),
        ("images:gs://bucket/photos", "gs://, and sources are read from local disks: copy it"),
    ],
)
def test_bad_specs(tmp_path: Path, spec: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message).replace(r"\.\*", ".*")):
        open_source(spec.format(tmp_path))


@pytest.mark.parametrize(("resolution", "channels"), [(0, 1), (8, 2), (-1, None), (10**6, 1)])
def test_impossible_shapes(resolution: int, channels: int | None) -> None:
    with pytest.raises(UserError, match=r"asked for: give"):
        open_source("digits", resolution, channels)


def test_fit_leaves_the_right_shape_alone() -> None:
    image = pixels(1, 6, 6, 3)[0]
    assert fit(image, (6, 6, 3)) is image


def test_fit_scales_with_antialiasing() -> None:
    stripes = np.tile(np.array([[0], [255]], np.uint8), (32, 64))[..., None]
    small = fit(stripes, (8, 8, 1))
    assert abs(small.astype(int) - 127).max() < 20  # picking every eighth row would give 0


def test_fit_converts_grey_and_colour() -> None:
    grey = pixels(1, 4, 4, 1)[0]
    np.testing.assert_array_equal(fit(grey, (4, 4, 3)), np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(fit(fit(grey, (4, 4, 3)), (4, 4, 1)), grey)


def test_wide_images_are_cropped_to_their_shorter_side(tmp_path: Path) -> None:
    images = pixels(2, 4, 6)
    source = open_source(npz(tmp_path, images=images))
    assert source.image_shape == (4, 4, 1)
    expected = [(image, -1) for image in images[:, :, 1:5].copy()]
    assert as_set(read(source)) == as_set(expected)


@pytest.fixture
def tfds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from tensorflow_datasets.core import constants

    # tensorflow_datasets reads TFDS_DATA_DIR into this once, when it is imported.
    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path))
    return tmp_path


def make_builder(name: str, features: Callable[[Any], Any], examples: list[Any]) -> None:
    """Registers a data set with tensorflow_datasets under `name`."""
    import tensorflow_datasets as tfds

    def info(self: Any) -> Any:
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features(tfds.features))
        )

    def split_generators(self: Any, manager: Any) -> Any:
        return {"train": enumerate(examples), "test": enumerate(examples[:1])}

    members = {
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": info,
        "_split_generators": split_generators,
        "_generate_examples": None,  # abstract; the splits above bring their examples
    }
    type(name, (tfds.core.GeneratorBasedBuilder,), members)


def test_tfds(tfds_folder: Path) -> None:
    images = pixels(6, 5, 5, 3)
    make_builder(
        "LabelledSquares",
        lambda f: {"image": f.Image(shape=(5, 5, 3)), "label": f.ClassLabel(names=["up", "down"])},
        [{"image": image, "label": i % 2} for i, image in enumerate(images)],
    )
    source = open_source("tfds:labelled_squares")
    assert source.class_names == ("up", "down")
    assert as_set(read(source)) == as_set([(image, i % 2) for i, image in enumerate(images)])
    assert (tfds_folder / "labelled_squares").is_dir()


def test_tfds_of_varying_size_without_labels(tfds_folder: Path) -> None:
    make_builder(
        "ManySizes",
        lambda f: {"image": f.Image(shape=(None, None, 3))},
        [{"image": np.full([4 + i, 9, 3], i, np.uint8)} for i in range(4)],
    )
    assert open_source("tfds:many_sizes").image_shape == (64, 64, 3)
    source = open_source("tfds:many_sizes", resolution=8)
    assert source.class_names == ()
    assert {int(image.max()) for image, _ in read(source)} == {0, 1, 2, 3}


def test_tfds_that_cannot_be_had(tfds_folder: Path) -> None:
    make_builder("WithoutImages", lambda f: {"text": f.Text()}, [{"text": "a"}])
    for name in ("no_such_set", "without_images"):
        message = f"the data set {name} cannot be had .* use images:, idx: or npz:"
        with pytest.raises(UserError, match=message):
            open_source(f"tfds:{name}")
