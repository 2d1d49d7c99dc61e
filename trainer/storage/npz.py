"""Reading .npz files that may be damaged."""

import zipfile
import zlib

DAMAGED_NPZ = (
    *(ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error),
    # Where a flipped bit asks for another method of compression, or for a password.
    *(NotImplementedError, RuntimeError),
)
"""What NumPy raises at such a file, and Python where an array in it is missing or of no use."""
