"""Where images come from: one function for each kind of source, all giving the same `Source`.

The forms are described in prepare.py, for --help; an .npz may also hold `x_train` and `y_train`.
Examples come in an order shuffled by a fixed seed, because many sets are sorted by class and a
trainer that streams them mixes only a window of images.
"""

import dataclasses
import difflib
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from trainer.cli.paths import user_path
from trainer.data.idx import Uint8Array, read_idx_set
from trainer.data.image_folder import MODES, as_picture, image_files, read_image
from trainer.errors import DiskError, UserError
from trainer.storage.bucket import is_gs
from trainer.storage.bucket_errors import reason
from trainer.storage.disk import naming_the_disk

Example = tuple[Uint8Array, int]

FORMS = "digits, idx:DIR, idx-test:DIR, tfds:NAME, images:DIR and npz:FILE"
DEFAULT_RESOLUTION = 64  # where the images of a set differ in size and none is asked for

_ORDER_SEED = 0
_RESOLUTION_AT_MOST = 8192
_CLASSES_AT_MOST = 100_000  # what is more is no class, and their names take memory


@dataclasses.dataclass(frozen=True)
class Source:
    """A set of images.

    Attributes:
        spec: what `open_source` was given.
        num_images: how many examples there are.
        image_shape: H, W, C of every image; H equals W.
        class_names: names of the labels; empty where there are none.
        examples: starts an iterator over (uint8 [H, W, C] image, label), the
            label -1 where there is none. It raises UserError at a broken image.
    """

    spec: str
    num_images: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    examples: Callable[[], Iterator[Example]]


def open_source(spec: str, resolution: int | None = None, channels: int | None = None) -> Source:
    """Opens a source and brings its images to one square shape.

    Args:
        spec: one of `FORMS`.
        resolution: height and width to scale to. Left out: as they are, the
            shorter side where they are not square, or DEFAULT_RESOLUTION where
            the images differ in size.
        channels: 1 for grey, 3 for RGB, 4 for RGBA. Left out: as they are, or
            RGB for `images:`.

    Raises:
        UserError: an unknown form; files that are missing, broken or empty; a
            shape that images cannot be brought to.
        DiskError: the disk refuses to read them.
    """
    if channels is not None and channels not in MODES:
        raise UserError(f"{channels} channels asked for: give 1 (grey), 3 (RGB) or 4 (RGBA).")
    if resolution is not None and not 1 <= resolution <= _RESOLUTION_AT_MOST:
        raise UserError(f"resolution {resolution} asked for: give 1 to {_RESOLUTION_AT_MOST}.")
    native = open_unscaled(spec)
    height, width, native_channels = native.image_shape
    side = resolution or min(height, width)
    shape = (side, side, channels or native_channels)

    def examples() -> Iterator[Example]:
        return ((fit(image, shape), label) for image, label in native.examples())

    return dataclasses.replace(native, image_shape=shape, examples=examples)


def open_unscaled(spec: str) -> Source:
    """Opens a source as it is; of `images:`, whose sizes may differ, the shape says nothing.

    Raises:
        UserError: an unknown form, or files that are missing, broken or empty.
        DiskError: the disk refuses to read them.
    """
    kind, _, where = spec.partition(":")
    if kind not in _OPENERS or bool(where) != (kind != "digits"):
        near = difflib.get_close_matches(kind, _OPENERS, n=1)
        hint = f"; did you mean {near[0]}?" if near and near[0] != kind else "."
        raise UserError(f"unknown source {spec!r}: the forms are {FORMS}{hint}")
    if is_gs(where):
        raise UserError(
            f"{spec} is on gs://, and sources are read from local disks: copy it here first, with "
            f"`gcloud storage cp --recursive {shlex.quote(where)} FOLDER`; only the records may be "
            "on gs://."
        )

    native = _OPENERS[kind](spec, user_path(where) if kind in _OF_FILES else where)
    if native.num_images == 0:
        raise UserError(f"{spec} has no images: give a source with at least one.")
    if native.image_shape[2] not in MODES:
        raise UserError(
            f"{spec} has images of {native.image_shape[2]} channels: 1, 3 and 4 are read."
        )
    return native


def is_same(spec: str, other: str) -> bool:
    """Whether two forms name one source, however their folder or file is written."""
    places = [each.partition(":") for each in (spec, other)]
    # Not `user_path`: the set may have been prepared elsewhere, in a home that is not here.
    one, another = ((kind, os.path.abspath(os.path.expanduser(where))) for kind, _, where in places)
    return one == another


def fit(image: Uint8Array, shape: tuple[int, int, int]) -> Uint8Array:
    """Crops to the centre square, scales with antialiasing and converts grey and colour.

    Args:
        image: uint8 [H, W, C] of any size; C is 1, 3 or 4.
        shape: [R, R, C] to bring it to.

    Returns:
        uint8 of `shape`; the very same array where it already has that shape.
    """
    if image.shape == shape:
        return image
    side, _, channels = shape
    picture = as_picture(image)
    if picture.size != (side, side):
        picture = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture.convert(MODES[channels])).reshape(shape)


def _open_digits(spec: str, where: str) -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.zeros([len(small), 28, 28], np.uint8)
    for image, enlarged in zip(small, images, strict=True):
        picture = Image.fromarray(image).resize((24, 24), Image.Resampling.BICUBIC)
        enlarged[2:26, 2:26] = np.asarray(picture)
    return _from_arrays(spec, images, digits.target)


def _open_idx(spec: str, where: str) -> Source:
    images, labels = read_idx_set(where, "t10k" if spec.startswith("idx-test:") else "train")
    return _from_arrays(spec, images, labels)


def _open_npz(spec: str, where: str) -> Source:
    try:
        with naming_the_disk(where), np.load(where, allow_pickle=False) as file:
            images = file["images" if "images" in file else "x_train"]
            labels_name = next((name for name in ("labels", "y_train") if name in file), None)
            labels = None if labels_name is None else file[labels_name]
            if not isinstance(images, np.ndarray) or isinstance(labels, bytes):
                raise ValueError("a member is no array")
    except KeyError:
        raise UserError(
            f"{where} holds neither an array `images` nor `x_train`: save one with "
            "numpy.savez(file, images=...)."
        ) from None
    except DiskError:
        raise
    # From tokenize, zipfile and zlib; MemoryError of a header; a .npy file is no context manager.
    except Exception as error:
        raise UserError(
            f"{where} cannot be read as an .npz file without pickled objects ({error}): "
            "check the path, or write it anew with numpy.savez."
        ) from error
    return _from_arrays(spec, images, labels)


def _from_arrays(
    spec: str, images: npt.NDArray[Any], labels: npt.NDArray[Any] | None = None
) -> Source:
    """A source of images [N, H, W] or [N, H, W, C] and labels that count from 0."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise UserError(
            f"{spec} has images of {images.dtype} {list(images.shape)}: "
            "give uint8 [N, H, W] or [N, H, W, C]."
        )
    images = images.reshape(*images.shape[:3], -1) if images.size else images.reshape(0, 1, 1, 1)
    class_names: tuple[str, ...] = ()
    if labels is None:
        labels = np.full(len(images), -1)
    else:
        labels = labels.reshape(-1)
        if len(labels) != len(images):
            raise UserError(
                f"{spec} has {len(images)} images and {len(labels)} labels: give one for each."
            )
        if labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
            raise UserError(f"{spec} has labels that are not whole numbers counting from 0.")
        if labels.max(initial=0) >= _CLASSES_AT_MOST:
            raise UserError(
                f"{spec} has a label {labels.max()}: give the numbers of at most "
                f"{_CLASSES_AT_MOST} classes, counting from 0."
            )
        class_names = tuple(str(i) for i in range(int(labels.max(initial=0)) + 1))

    def examples() -> Iterator[Example]:
        return ((images[i], int(labels[i])) for i in _mixed(len(images)))

    height, width, channels = images.shape[1:]
    return Source(spec, len(images), (height, width, channels), class_names, examples)


def _open_images(spec: str, where: str) -> Source:
    root = Path(where)
    files, class_names = image_files(root)
    label_of = {name: label for label, name in enumerate(class_names)}

    def examples() -> Iterator[Example]:
        for file in (files[i] for i in _mixed(len(files))):
            yield read_image(root / file), label_of.get(file.parts[0], -1)

    shape = (DEFAULT_RESOLUTION, DEFAULT_RESOLUTION, 3)
    return Source(spec, len(files), shape, class_names, examples)


def _open_tfds(spec: str, where: str) -> Source:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(where)
        builder.download_and_prepare()
        split = builder.info.splits["train"]
        features = builder.info.features
        height, width, channels = features["image"].shape
    # Hundreds of builders fail in as many ways: no network, a moved file, a missing package.
    except Exception as error:
        raise UserError(
            f"the data set {where} cannot be had from tensorflow_datasets ({reason(error)}): "
            "download it yourself and use images:, idx: or npz:, or put its prepared folder, with "
            "images under `image` and a split `train`, into TFDS_DATA_DIR."
        ) from error
    if features["image"].np_dtype != np.uint8:
        raise UserError(f"{spec} has images of {features['image'].np_dtype}: only uint8 is read.")
    class_names = tuple(getattr(features["label"], "names", ())) if "label" in features else ()

    def examples() -> Iterator[Example]:
        for example in tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False)):
            yield example["image"], int(example["label"]) if class_names else -1

    shape = (height or DEFAULT_RESOLUTION, width or DEFAULT_RESOLUTION, channels or 3)
    return Source(spec, split.num_examples, shape, class_names, examples)


def _mixed(count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(_ORDER_SEED).permutation(count)


_OF_FILES = ("idx", "idx-test", "images", "npz")
_OPENERS: dict[str, Callable[[str, str], Source]] = {
    "digits": _open_digits,
    "idx": _open_idx,
    "idx-test": _open_idx,
    "tfds": _open_tfds,
    "images": _open_images,
    "npz": _open_npz,
}
