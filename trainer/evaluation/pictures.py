"""Anybody's pictures, a folder or an .npz, to be scored or to be compared with."""

import dataclasses
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainer.data.image_folder import image_files, is_grey, read_image, with_channels
from trainer.data.sources import Example, Source, open_unscaled
from trainer.errors import UserError
from trainer.evaluation.features import Extractor
from trainer.evaluation.reference import Batches, Reference, reference_of

_BATCH_IMAGES = 64


def open_pictures(path: str, channels: int | None = None) -> Source:
    """The pictures of a folder or an .npz as they are, or of any other source of `prepare`.

    `channels`: to which they are converted; left out: as they are, and a folder's 1 where all its
    files are grey, else 3.

    Raises:
        UserError: it holds none that can be read; its examples raise it where sizes differ.
    """
    folder = path.removeprefix("images:")
    if os.path.isdir(folder):
        return _of_folder(Path(folder), channels)
    # Not `open_source`, which crops and scales.
    source = open_unscaled(f"npz:{path}" if os.path.isfile(path) else path)
    shape = (*source.image_shape[:2], channels or source.image_shape[2])

    def examples() -> Iterator[Example]:
        return ((with_channels(image, shape[2]), label) for image, label in source.examples())

    return dataclasses.replace(source, image_shape=shape, examples=examples)


def _of_folder(root: Path, channels: int | None) -> Source:
    files, _ = image_files(root)
    height, width, _ = read_image(root / files[0]).shape
    shape = (height, width, channels or (1 if all(is_grey(root / file) for file in files) else 3))

    def examples() -> Iterator[Example]:
        for file in files:
            image = read_image(root / file)
            if image.shape[:2] != (height, width):
                raise UserError(
                    f"{root / file} has {image.shape[0]}x{image.shape[1]} pixels, and "
                    f"{root / files[0]} {height}x{width}: how pictures are scaled is a part of "
                    "what is measured, so bring them to one size first."
                )
            yield with_channels(image, shape[2]), -1

    return Source(str(root), len(files), shape, (), examples)


def reference_of_pictures(source: Source, extractor: Extractor) -> Reference:
    """The features of all images of a source."""
    return reference_of(source.num_images, _batches(source, source.num_images), extractor)


def first_of(source: Source, count: int) -> Iterator[np.ndarray]:
    """The first images of a source, in blocks.

    Raises:
        UserError: there are fewer.
    """
    if source.num_images < count:
        raise UserError(
            f"{source.spec} holds {source.num_images} pictures, fewer than {count}: give "
            f"--count={source.num_images} or fewer."
        )
    return (images for images, _ in _batches(source, count))


def _batches(source: Source, count: int) -> Batches:
    examples = itertools.islice(source.examples(), count)
    while batch := list(itertools.islice(examples, _BATCH_IMAGES)):
        images, labels = zip(*batch, strict=True)
        yield np.stack(images), np.array(labels)
