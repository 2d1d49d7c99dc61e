"""Images from a trained generator: samples, grids, interpolations, the timelapse."""

import contextlib
import io
import math
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from trainer.errors import UserError
from trainer.files import write_bytes
from trainer.gan.keyed_random import Purpose, group_key, normal
from trainer.gan.networks import Generator
from trainer.png import png

BLOCK_IMAGES = 64
"""Sampling runs in blocks of this size, whatever is asked for, so that an image is a
function of (weights, seed, index) to the last bit."""

IN_TURN = -1
"""In place of a label: image i of a conditional model is of class i % num_classes."""

_GRID_PADDING_PIXELS = 2
_GIF_FRAME_MILLISECONDS = 250
_GIF_LAST_FRAME_MILLISECONDS = 2000


class Sampler:
    """Draws from a generator in inference mode."""

    def __init__(self, generator: Generator, truncation: float = math.inf) -> None:
        """`truncation`: latents are normal numbers within +-truncation; fewer outliers, less
        variety (Brock et al. 2019, section 3.1)."""
        self.generator = generator
        self.truncation = truncation

    def images(self, seed: int, count: int, label: int = IN_TURN) -> Iterator[np.ndarray]:
        """Yields `count` images in blocks of [at most 64, H, W, C] uint8."""
        for block in range(math.ceil(count / BLOCK_IMAGES)):
            numbers = (tf.constant(number, tf.int64) for number in (seed, block, label))
            yield self.block(*numbers).numpy()[: count - block * BLOCK_IMAGES]

    def labels(self, count: int, label: int = IN_TURN) -> np.ndarray | None:
        """The labels of `images`, [count] int32; None where the model knows no classes."""
        if not self.generator.num_classes:
            return None
        return labels_of(np.arange(count), label, self.generator.num_classes).numpy()

    def interpolation(self, seed: int, rows: int, columns: int, label: int = IN_TURN) -> np.ndarray:
        """Walks from one latent to another, a row each: [rows * columns, H, W, C] uint8.

        Spherical interpolation (White 2016, "Sampling Generative Networks", section
        2.1): the latents on the way keep the length that G was trained on.
        """
        starts, ends = (
            np.concatenate(
                [
                    self.latents(tf.constant(seed, tf.int64), tf.constant(block, tf.int64)).numpy()
                    for block in range(first, first + math.ceil(rows / BLOCK_IMAGES))
                ]
            )[:rows]
            for first in (0, math.ceil(rows / BLOCK_IMAGES))
        )
        weights = np.linspace(0.0, 1.0, columns, dtype=np.float32)
        latents = np.stack([slerp(starts, ends, w) for w in weights], axis=1)
        latents = latents.reshape(rows * columns, self.generator.latent_dim)
        row_labels = self.labels(rows, label)
        labels = None if row_labels is None else row_labels.repeat(columns)
        blocks = [
            to_uint8(self.generator(latents[part], None if labels is None else labels[part]))
            for part in (slice(i, i + BLOCK_IMAGES) for i in range(0, len(latents), BLOCK_IMAGES))
        ]
        return np.concatenate(blocks)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)] * 3)
    def block(self, seed: tf.Tensor, block: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Images 64 * block to 64 * block + 63 of a seed, [64, H, W, C] uint8."""
        labels = None
        if self.generator.num_classes:
            indices = block * BLOCK_IMAGES + tf.range(BLOCK_IMAGES, dtype=tf.int64)
            labels = labels_of(indices, label, self.generator.num_classes)
        return to_uint8(self.generator(self.latents(seed, block), labels))

    def latents(self, seed: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        """Latents of one block, [64, latent_dim] float32, standard normal."""
        key = group_key(seed, Purpose.SAMPLE_LATENTS, 0, block)
        return normal(key, (BLOCK_IMAGES, self.generator.latent_dim), self.truncation)


def labels_of(indices: tf.Tensor, label: int | tf.Tensor, num_classes: int) -> tf.Tensor:
    """Labels, int32, of the images of some indices: `label`, or each class in turn."""
    return tf.cast(tf.where(tf.equal(label, IN_TURN), indices % num_classes, label), tf.int32)


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """[-1, 1] float32 to 0..255 uint8, rounded to the nearest, half to even."""
    return tf.saturate_cast(tf.round((images + 1.0) * 127.5), tf.uint8)


def slerp(start: np.ndarray, end: np.ndarray, weight: float) -> np.ndarray:
    """Spherical interpolation of vectors [N, D]: `start` at weight 0, `end` at 1."""
    cosine = np.sum(start * end, axis=1, keepdims=True) / (
        np.linalg.norm(start, axis=1, keepdims=True) * np.linalg.norm(end, axis=1, keepdims=True)
    )
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    # Parallel vectors have no arc; the straight line is its limit.
    sine = np.maximum(np.sin(angle), 1e-6)
    straight = (1.0 - weight) * start + weight * end
    arc = (np.sin((1.0 - weight) * angle) * start + np.sin(weight * angle) * end) / sine
    return np.where(np.sin(angle) < 1e-6, straight, arc).astype(start.dtype)


def grid(images: np.ndarray, columns: int = 0) -> np.ndarray:
    """Lays images out in rows on one sheet.

    Args:
        images: [N, H, W, C] uint8.
        columns: images a row; 0: as near to a square as can be.

    Returns:
        [rows * (H + 2) + 2, columns * (W + 2) + 2, C] uint8, unused places black.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    pad = _GRID_PADDING_PIXELS
    sheet = np.zeros(
        (rows * (height + pad) + pad, columns * (width + pad) + pad, channels), np.uint8
    )
    for index, image in enumerate(images):
        top = pad + index // columns * (height + pad)
        left = pad + index % columns * (width + pad)
        sheet[top : top + height, left : left + width] = image
    return sheet


def class_grid(images: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """A `grid`, with one row for each class where there are several.

    Args:
        images: [N, H, W, C] uint8.
        labels: [N] int32, or None.
    """
    if labels is None or len(classes := np.unique(labels)) == 1:
        return grid(images)
    rows = [images[labels == label] for label in classes]
    columns = max(len(row) for row in rows)
    filled = [
        np.concatenate([row, np.zeros((columns - len(row), *row.shape[1:]), np.uint8)])
        for row in rows
    ]
    return grid(np.concatenate(filled), columns)


def timelapse(png_paths: list[str]) -> bytes:
    """Encodes grids as an animated GIF that rests on the last one."""
    frames = [
        Image.open(io.BytesIO(tf.io.gfile.GFile(path, "rb").read())).convert("P")
        for path in png_paths
    ]
    durations = [_GIF_FRAME_MILLISECONDS] * (len(frames) - 1) + [_GIF_LAST_FRAME_MILLISECONDS]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    return buffer.getvalue()


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
    with _writing(output):
        if output.endswith(".npz"):
            write_bytes(output, npz(np.concatenate(list(blocks)), labels))
        elif output.endswith(".png"):
            write_bytes(output, png(class_grid(np.concatenate(list(blocks)), labels)))
        else:
            for block, images in enumerate(blocks):
                for index, image in enumerate(images, start=block * BLOCK_IMAGES):
                    folder = output if labels is None else f"{output}/{labels[index]}"
                    tf.io.gfile.makedirs(folder)
                    write_bytes(os.path.join(folder, f"{index:06d}.png"), png(image))


def write_walks(
    sampler: Sampler, seed: int, rows: int, columns: int, output: str, label: int = IN_TURN
) -> None:
    """Writes a .png with `rows` walks between latents, of `columns` images each.

    Raises:
        UserError: `output` is no .png or cannot be written, or the model does not know the
            label.
    """
    check_label(sampler.generator, label)
    if not output.endswith(".png"):
        raise UserError(f"--output={output}: a walk between latents is a picture; give FILE.png.")
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
    is_file = output.endswith((".npz", ".png"))
    try:
        tf.io.gfile.makedirs((os.path.dirname(output) or ".") if is_file else output)
        yield
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"--output={output} cannot be written ({str(error).splitlines()[0]}); choose another."
        ) from error


def npz(images: np.ndarray, labels: np.ndarray | None) -> bytes:
    """Encodes images, and labels if there are any, as a compressed npz."""
    buffer = io.BytesIO()
    if labels is None:
        np.savez_compressed(buffer, images=images)
    else:
        np.savez_compressed(buffer, images=images, labels=labels)
    return buffer.getvalue()
