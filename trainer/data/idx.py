"""The IDX files of MNIST, as LeCun, Cortes and Burges describe them."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.errors import UserError
from trainer.storage.disk import naming_the_disk

Uint8Array = npt.NDArray[np.uint8]


def read_idx_set(folder: str, stem: str) -> tuple[Uint8Array, Uint8Array | None]:
    """Images [N, H, W] and labels [N], uint8, of one set; None where it has no labels.

    Args:
        folder: of the files as they were downloaded, gzipped or not.
        stem: `train` or `t10k`.

    Raises:
        UserError: there are no images, or a file is damaged.
        DiskError: the disk refuses to read it.
    """
    images_path = _idx_file(folder, f"{stem}-images", 3)
    if images_path is None:
        raise UserError(
            f"{folder} holds no {stem}-images-idx3-ubyte, gzipped or not: give the folder "
            "with the files as they were downloaded."
        )
    labels_path = _idx_file(folder, f"{stem}-labels", 1)
    labels = None if labels_path is None else _read_idx(labels_path, dimensions=1)
    return _read_idx(images_path, dimensions=3), labels


def _idx_file(folder: str, stem: str, dimensions: int) -> Path | None:
    names = [f"{stem}{dot}idx{dimensions}-ubyte{suffix}" for dot in "-." for suffix in ("", ".gz")]
    return next((path for name in names if (path := Path(folder, name)).is_file()), None)


def _read_idx(path: Path, dimensions: int) -> Uint8Array:
    try:
        with naming_the_disk(str(path)):
            data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}): download it again.") from error
    # Two zero bytes, 8 for unsigned bytes, the number of dimensions; then the dimensions.
    magic, found = 0x800 + dimensions, int.from_bytes(data[:4], "big")
    if found != magic:
        raise UserError(
            f"{path} begins with {found}, an IDX file of {dimensions} dimensions with {magic}: "
            "download it again."
        )
    header = 4 * (1 + dimensions)
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4)]
    if len(data) != header + math.prod(shape):
        raise UserError(
            f"{path} has {len(data)} bytes and its header says {header + math.prod(shape)}: "
            "download it again."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
