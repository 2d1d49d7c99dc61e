"""Freed memory stays with this process, which asks for the same again at the next step."""

import ctypes
import os

_MIB = 2**20
# Numbers of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {
    _M_MMAP_THRESHOLD: 32 * _MIB,  # as much as glibc takes
    _M_TRIM_THRESHOLD: 2**31 - 1,
    _M_TOP_PAD: 64 * _MIB,
}


def keep_freed_memory() -> None:
    """Has glibc's malloc keep what is freed, unless the user has told malloc something else.

    By itself it gives the heaps of TensorFlow's threads back once they are empty, in every step:
    the kernel then clears some 5,000 pages a step anew, a fifth of the time of a small one.
    """
    told = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt and not told:
        for parameter, value in _SETTINGS.items():
            mallopt(parameter, value)
