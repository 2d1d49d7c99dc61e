"""Printing to terminals and pipes that may go away, or never were there."""

import os
import sys
from typing import TextIO


def print_if_read(text: str, stream: TextIO, end: str = "\n") -> None:
    """Prints and flushes; once nobody reads the stream, what is printed is dropped.

    As in `... | head`, or where a connection is lost: neither is a reason to lose a run.
    """
    try:
        print(text, file=stream, end=end, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_closed_streams() -> None:
    """Opens /dev/null as stdin, stdout or stderr where that is closed, as `>&-` leaves it.

    Else a file of the run would get the descriptor, and with it what is printed.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest one that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8")
            setattr(sys, name, stream)
