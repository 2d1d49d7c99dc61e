"""A process that does not outlive the one that started it."""

import ctypes
import os
import signal
import sys

PARENT = "DCGAN_TRAINER_PARENT"
"""Of the environment: the number of the process with which this one ends."""

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Has Linux send SIGTERM once the process of `PARENT`, if that is set, is gone.

    A sweep or a launcher that is killed (SIGKILL) can tell its runs nothing more.
    """
    parent = os.environ.pop(PARENT, "")
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != parent:  # gone before that was asked for
        os.kill(os.getpid(), signal.SIGTERM)
