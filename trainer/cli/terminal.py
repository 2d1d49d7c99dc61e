"""Printing to terminals and pipes that may go away."""

import os
from typing import TextIO


def print_if_read(text: str, stream: TextIO, end: str = "\n") -> None:
    """Prints and flushes; once nobody reads the stream, what is printed is dropped.

    As in `... | head`, or where a connection is lost: neither is a reason to lose a run.
    """
    try:
        print(text, file=stream, end=end, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
