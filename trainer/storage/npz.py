"""The .npz files of NumPy: written block by block, and read where they may be damaged."""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.storage.bucket import is_gs
from trainer.storage.files import replacing

DAMAGED_NPZ = (
    *(ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error),
    # Where a flipped bit asks for another method of compression, or for a password.
    *(NotImplementedError, RuntimeError),
)
"""What NumPy raises at such a file, and Python where an array in it is missing or of no use."""


class BlockArray(NamedTuple):
    """An array of which a block of rows is there at a time."""

    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Iterable[np.ndarray]


def write_npz(path: str, arrays: Mapping[str, BlockArray]) -> None:
    """Writes a compressed .npz, local or gs://, as numpy.load reads it; whole or not at all.

    Memory does not grow with the arrays.

    Raises:
        DiskError: the disk refuses.
        OSError, tf.errors.OpError: other failures.
    """
    if is_gs(path):
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, "whole.npz")
            write_npz(local, arrays)
            tf.io.gfile.copy(local, path, overwrite=True)
        return
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": array.shape,
                }
                np.lib.format.write_array_header_1_0(member, header)
                for block in array.blocks:
                    member.write(np.ascontiguousarray(block, array.dtype).data)
