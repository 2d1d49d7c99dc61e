"""Pictures of samples and losses: grids, the timelapse, the loss plot."""

import io
import logging
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from trainer.cli.quiet_start import import_matplotlib_figure

log = logging.getLogger(__name__)

_GRID_PADDING_PIXELS = 2
_GIF_FRAME_MILLISECONDS = 250
_GIF_LAST_FRAME_MILLISECONDS = 2000
_GIF_PIXELS_AT_MOST = 4096  # height and width; all frames are in memory at once


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
    """A `grid`, with one row for each class where the labels, [N] int32, name several."""
    if labels is None or len(classes := np.unique(labels)) == 1:
        return grid(images)
    rows = [images[labels == label] for label in classes]
    columns = max(len(row) for row in rows)
    filled = [
        np.concatenate([row, np.zeros((columns - len(row), *row.shape[1:]), np.uint8)])
        for row in rows
    ]
    return grid(np.concatenate(filled), columns)


def timelapse(png_paths: list[str]) -> bytes | None:
    """Encodes grids as an animated GIF that rests on the last one; None if none can be read.

    Grids of more than 4096 pixels a side are scaled down.
    """
    frames = list(filter(None, map(_frame, png_paths)))
    if not frames:
        return None
    durations = [_GIF_FRAME_MILLISECONDS] * (len(frames) - 1) + [_GIF_LAST_FRAME_MILLISECONDS]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    return buffer.getvalue()


def _frame(path: str) -> Image.Image | None:
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    # Pillow raises far more than OSError at a damaged file.
    try:
        # Not Image.open, which refuses as a decompression bomb what may be a large grid of ours.
        picture = PngImageFile(io.BytesIO(content))
        picture.thumbnail((_GIF_PIXELS_AT_MOST, _GIF_PIXELS_AT_MOST))
        return picture.convert("P")
    except Exception as error:
        log.warning("%s is damaged and left out of the timelapse (%s)", path, error)
        return None


def loss_plot(metrics: Sequence[dict[str, float]]) -> bytes:
    """Draws both losses over the epochs as PNG."""
    figure = import_matplotlib_figure().Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name in ("generator", "discriminator"):
        lines = [line for line in metrics if f"loss/{name}" in line]
        axes.plot(
            [line["epoch"] for line in lines],
            [line[f"loss/{name}"] for line in lines],
            label=name.capitalize(),
        )
    axes.set(xlabel="Epoch", ylabel="Loss", title="Training losses")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
