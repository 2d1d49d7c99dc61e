"""Encoding PNG without TensorFlow, whose eager operations would start its devices."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encodes [H, W, C] uint8, C of 1, 3 or 4, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
