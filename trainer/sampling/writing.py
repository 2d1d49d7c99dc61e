"""Samples and interpolations as files: npz, a PNG grid, a folder of PNG files."""

import contextlib
import itertools
import logging
import math
import mimetypes
import os
import re
import zlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from trainer.errors import UserError
from trainer.sampling.labels import folder_names
from trainer.sampling.pictures import class_grid, grid
from trainer.sampling.sampler import IN_TURN, Sampler, labels_of
from trainer.storage.disk import amount, check_room
from trainer.storage.files import names_in, naming_the_output, write_bytes
from trainer.storage.npz import BlockArray, write_npz
from trainer.storage.png import png

log = logging.getLogger(__name__)

_GRID_IMAGES_AT_MOST = 10_000
_LABELS_AT_ONCE = 65_536
_DISK_BLOCK_BYTES = 4096  # a small file takes as much
_NUMBERED = re.compile(r"(\d{6,})\.png")


def write_samples(
    sampler: Sampler,
    seed: int,
    count: int,
    output: str,
    label: int = IN_TURN,
    class_names: tuple[str, ...] = (),
) -> None:
    """Writes `count` images: one .npz, one .png with a grid, or a folder of .png files.

    An npz holds `images`, [count, H, W, C] uint8, and, of a conditional model, `labels`,
    [count] int32; a grid of one then has a row for each class, and a folder a folder, by its
    name as far as `class_names` are known. Memory does not grow with the count of an npz or a
    folder, and how large these get is told before.

    Raises:
        UserError: `output` cannot be written, or has no room for it.
    """
    suffix = _suffix(output)
    if suffix == ".png":
        _check_grid(count, f"--count={count}", "give FILE.npz or a folder as --output for more")
    with _writing(output, suffix):
        if suffix == ".png":
            images = np.concatenate(list(sampler.images(seed, count, label)))
            write_bytes(output, png(class_grid(images, sampler.labels(count, label))))
            return
        blocks = _told(_with_room(sampler.images(seed, count, label), count, output, suffix), count)
        if suffix == ".npz":
            write_npz(output, _arrays(sampler, count, label, blocks))
        else:
            _write_folder(sampler, count, label, output, blocks, class_names)


def write_interpolations(
    sampler: Sampler, seed: int, rows: int, columns: int, output: str, label: int = IN_TURN
) -> None:
    """Writes a .png with `rows` interpolations between latents, of `columns` images each.

    Raises:
        UserError: `output` is no .png or cannot be written; too few columns, too many images.
    """
    if columns < 2:
        raise UserError(f"--interpolation_steps={columns}: from one image to another it takes 2.")
    if (suffix := _suffix(output)) != ".png":
        raise UserError(f"--output={output}: interpolations are drawn as a picture; give FILE.png.")
    asked = f"--count={rows} of --interpolation_steps={columns}"
    _check_grid(rows * columns, asked, "give fewer of either")
    with _writing(output, suffix):
        images = sampler.interpolation(seed, rows, columns, label)
        write_bytes(output, png(grid(images, columns)))


def _arrays(
    sampler: Sampler, count: int, label: int, images: Iterator[np.ndarray]
) -> dict[str, BlockArray]:
    shape, num_classes = (count, *sampler.generator.image_shape), sampler.generator.num_classes
    arrays = {"images": BlockArray(shape, np.dtype(np.uint8), images)}
    if num_classes:
        starts = range(0, count, _LABELS_AT_ONCE)
        rows = (np.arange(first, min(first + _LABELS_AT_ONCE, count)) for first in starts)
        labels = (labels_of(indices, label, num_classes).numpy() for indices in rows)
        arrays["labels"] = BlockArray((count,), np.dtype(np.int32), labels)
    return arrays


def _write_folder(
    sampler: Sampler,
    count: int,
    label: int,
    output: str,
    blocks: Iterator[np.ndarray],
    class_names: tuple[str, ...],
) -> None:
    num_classes = sampler.generator.num_classes
    folders, made = folder_names(class_names, num_classes), set()
    inside = names_in(output)
    _check_no_more_images(output, inside, count)
    for name in {*folders}.intersection(inside):
        folder = os.path.join(output, name)
        _check_no_more_images(folder, names_in(folder), count)
    for index, image in enumerate(itertools.chain.from_iterable(blocks)):
        folder = output
        if num_classes:
            own = index % num_classes if label == IN_TURN else label
            folder = os.path.join(output, folders[own])
        if folder not in made:
            tf.io.gfile.makedirs(folder)
            made.add(folder)
        write_bytes(os.path.join(folder, f"{index:06d}.png"), png(image))


def _check_no_more_images(folder: str, names: list[str], count: int) -> None:
    """Or what is left of a larger drawing would be taken for a part of this one."""
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found and int(found[1]) >= count:
            raise UserError(
                f"{folder} holds {name} of an earlier drawing, beyond --count={count}: give "
                "another folder as --output, or delete it."
            )


def _told(blocks: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    # disable=None: a bar on a terminal, nothing in a log file.
    with tqdm(total=count, unit=" images", disable=None) as bar:
        for block in blocks:
            yield block
            bar.update(len(block))


def _suffix(output: str) -> str:
    """`.npz` or `.png`, empty for a folder.

    Raises:
        UserError: it is that of another kind of file, or all that there is of the name.
    """
    name = os.path.basename(output)
    # With a letter before, since `.png` alone counts as a name without a suffix.
    stem, suffix = os.path.splitext(f"a{name}".lower())
    # Not mimetypes.guess_type, which knows what the machine's own tables say.
    names_a_file = suffix in (".npz", ".npy") or any(mimetypes.MimeTypes().guess_type(f"a{name}"))
    forms = "samples are written as FILE.png (a grid), FILE.npz or a folder"
    if names_a_file and stem == "a":
        raise UserError(f"--output={output}: {forms}; here the name before {suffix} is missing.")
    if names_a_file and suffix not in (".npz", ".png"):
        raise UserError(f"--output={output}: {forms}; {suffix} is none of these.")
    return suffix if names_a_file else ""


def _check_grid(count: int, asked: str, mend: str) -> None:
    if count > _GRID_IMAGES_AT_MOST:
        raise UserError(f"{asked}: a grid shows at most {_GRID_IMAGES_AT_MOST} images; {mend}.")


def _with_room(
    blocks: Iterator[np.ndarray], count: int, output: str, suffix: str
) -> Iterator[np.ndarray]:
    """The same blocks, once it is told how large they get, by the first, and that they have room.

    Raises:
        UserError: they have none; before any of them is given.
    """
    some = next(blocks)
    if suffix == ".npz":
        size = len(zlib.compress(some.tobytes()))
    else:
        disk_blocks = sum(math.ceil(len(png(image)) / _DISK_BLOCK_BYTES) for image in some)
        size = disk_blocks * _DISK_BLOCK_BYTES
    needed = count * size // len(some)
    log.info("%s: %s images, about %s", output, f"{count:,}", amount(needed))
    what = f"--output={output}: {count:,} images take"
    check_room(output, needed, what, "lower --count or give another disk")
    return itertools.chain([some], blocks)


@contextlib.contextmanager
def _writing(output: str, suffix: str) -> Iterator[None]:
    with naming_the_output(output, "--output"):
        tf.io.gfile.makedirs((os.path.dirname(output) or ".") if suffix else output)
        yield
