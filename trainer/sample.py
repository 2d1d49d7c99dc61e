"""Images from a trained generator: samples, grids, interpolations, the timelapse."""

import contextlib
import io
import math
import os
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from trainer.errors import UserError
from trainer.files import write_bytes
from trainer.gan.keyed_random import Purpose, group_key, normal
from trainer.png import png

BLOCK_IMAGES = 64
"""Sampling runs in blocks of this size, whatever is asked for, so that an image is a
function of (weights, seed, index) to the last bit."""

_GRID_PADDING_PIXELS = 2
_GIF_FRAME_MILLISECONDS = 250
_GIF_LAST_FRAME_MILLISECONDS = 2000


class Sampler(tf.Module):
    """Draws from a generator in inference mode."""

    def __init__(self, generator: keras.Model) -> None:
        super().__init__()
        self.generator = generator
        self.latent_dim = generator.input_shape[-1]

    def images(self, seed: int, count: int) -> Iterator[np.ndarray]:
        """Yields `count` images in blocks of [at most 64, H, W, C] uint8."""
        for block in range(math.ceil(count / BLOCK_IMAGES)):
            images = self.block(tf.constant(seed, tf.int64), tf.constant(block, tf.int64))
            yield images.numpy()[: count - block * BLOCK_IMAGES]

    def interpolation(self, seed: int, rows: int, columns: int) -> np.ndarray:
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
        latents = latents.reshape(rows * columns, self.latent_dim)
        blocks = [
            to_uint8(self.generator(latents[i : i + BLOCK_IMAGES], training=False)).numpy()
            for i in range(0, len(latents), BLOCK_IMAGES)
        ]
        return np.concatenate(blocks)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int64)])
    def block(self, seed: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        """Images 64 * block to 64 * block + 63 of a seed, [64, H, W, C] uint8."""
        return to_uint8(self.generator(self.latents(seed, block), training=False))

    def latents(self, seed: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        """Latents of one block, [64, latent_dim] float32, standard normal."""
        key = group_key(seed, Purpose.SAMPLE_LATENTS, 0, block)
        return normal(key, (BLOCK_IMAGES, self.latent_dim))


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


def write_samples(sampler: Sampler, seed: int, count: int, output: str) -> None:
    """Writes `count` images: one .npz, one .png with a grid, or a folder of .png files.

    An npz holds `images`, [count, H, W, C] uint8.

    Raises:
        UserError: `output` cannot be written.
    """
    blocks = tqdm(
        sampler.images(seed, count),
        total=math.ceil(count / BLOCK_IMAGES),
        unit="block",
        disable=None,
    )
    with _writing(output):
        if output.endswith(".npz"):
            write_bytes(output, npz(np.concatenate(list(blocks))))
        elif output.endswith(".png"):
            write_bytes(output, png(grid(np.concatenate(list(blocks)))))
        else:
            for block, images in enumerate(blocks):
                for index, image in enumerate(images, start=block * BLOCK_IMAGES):
                    write_bytes(os.path.join(output, f"{index:06d}.png"), png(image))


def write_walks(sampler: Sampler, seed: int, rows: int, columns: int, output: str) -> None:
    """Writes a .png with `rows` walks between latents, of `columns` images each.

    Raises:
        UserError: `output` is no .png or cannot be written.
    """
    if not output.endswith(".png"):
        raise UserError(f"--output={output}: a walk between latents is a picture; give FILE.png.")
    with _writing(output):
        write_bytes(output, png(grid(sampler.interpolation(seed, rows, columns), columns)))


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


def npz(images: np.ndarray) -> bytes:
    """Encodes images as a compressed npz with the one array `images`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images)
    return buffer.getvalue()
