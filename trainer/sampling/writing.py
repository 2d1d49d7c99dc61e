"""Samples and interpolations as files: npz, a PNG grid, a folder of PNG files."""

import contextlib
import io
import math
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from trainer.errors import UserError
from trainer.gan.networks import Generator
from trainer.sampling.pictures import class_grid, grid
from trainer.sampling.sampler import BLOCK_IMAGES, IN_TURN, Sampler
from trainer.storage.files import naming_the_output, write_bytes
from trainer.storage.png import png

_GRID_IMAGES_AT_MOST = 10_000
_NOT_WRITTEN = (".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".npy", ".zip", ".csv")


def write_samples(
    sampler: Sampler, seed: int, count: int, output: str, label: int = IN_TURN
) -> None:
    """Writes `count` images: one .npz, one .png with a grid, or a folder of .png files.

    An npz holds `images`, [count, H, W, C] uint8, and, of a conditional model, `labels`,
    [count] int32; a grid of one then has a row for each class, and a folder a folder.

    Raises:
        UserError: `output` cannot be written, or the model does not know the label.
    """
    check_label(sampler.generator, label)
    labels = sampler.labels(count, label)
    blocks = tqdm(
        sampler.images(seed, count, label),
        total=math.ceil(count / BLOCK_IMAGES),
        unit="block",
        disable=None,
    )
    suffix = os.path.splitext(output)[1].lower()
    if suffix in _NOT_WRITTEN:
        raise UserError(
            f"--output={output}: samples are written as FILE.png (a grid), FILE.npz or a folder; "
            f"{suffix} is none of these."
        )
    if suffix == ".png" and count > _GRID_IMAGES_AT_MOST:
        raise UserError(
            f"--count={count}: a grid shows at most {_GRID_IMAGES_AT_MOST} images; give FILE.npz "
            "or a folder as --output for more."
        )
    with _writing(output):
        if suffix == ".npz":
            write_bytes(output, npz(np.concatenate(list(blocks)), labels))
        elif suffix == ".png":
            write_bytes(output, png(class_grid(np.concatenate(list(blocks)), labels)))
        else:
            for block, images in enumerate(blocks):
                for index, image in enumerate(images, start=block * BLOCK_IMAGES):
                    folder = output if labels is None else f"{output}/{labels[index]}"
                    tf.io.gfile.makedirs(folder)
                    write_bytes(os.path.join(folder, f"{index:06d}.png"), png(image))


def write_interpolations(
    sampler: Sampler, seed: int, rows: int, columns: int, output: str, label: int = IN_TURN
) -> None:
    """Writes a .png with `rows` interpolations between latents, of `columns` images each.

    Raises:
        UserError: `output` is no .png or cannot be written, or the model does not know the
            label.
    """
    check_label(sampler.generator, label)
    if not output.lower().endswith(".png"):
        raise UserError(f"--output={output}: interpolations are drawn as a picture; give FILE.png.")
    with _writing(output):
        images = sampler.interpolation(seed, rows, columns, label)
        write_bytes(output, png(grid(images, columns)))


def check_label(generator: Generator, label: int) -> None:
    """Checks a label that a user gave.

    Raises:
        UserError: the model does not know it.
    """
    if label == IN_TURN:
        return
    if not generator.num_classes:
        raise UserError(
            f"--label={label}: this model was trained without labels; leave the flag out, or train "
            "one with --config.model.num_classes."
        )
    if label >= generator.num_classes:
        raise UserError(f"--label={label}: the labels are 0 to {generator.num_classes - 1}.")


@contextlib.contextmanager
def _writing(output: str) -> Iterator[None]:
    is_file = output.lower().endswith((".npz", ".png"))
    with naming_the_output(f"--output={output}"):
        tf.io.gfile.makedirs((os.path.dirname(output) or ".") if is_file else output)
        yield


def npz(images: np.ndarray, labels: np.ndarray | None) -> bytes:
    """Encodes images, and labels if there are any, as a compressed npz."""
    buffer = io.BytesIO()
    if labels is None:
        np.savez_compressed(buffer, images=images)
    else:
        np.savez_compressed(buffer, images=images, labels=labels)
    return buffer.getvalue()
