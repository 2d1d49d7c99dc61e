"""The exceptions that the command line turns into messages and exit codes, and their words."""

from collections.abc import Sequence

_NAMES_AT_MOST = 10


class UserError(ValueError):
    """Bad usage or bad input: one sentence that names the value and the mend.

    The command lines print it without a traceback and exit with 2; every other
    exception is a defect and keeps its traceback.
    """


class DivergedError(RuntimeError):
    """Training reached NaN or infinity; the message names the step and the last checkpoint."""


class LostWorkerError(RuntimeError):
    """Another worker of the group has gone; the message says how to go on."""


class StorageOutageError(RuntimeError):
    """Google Cloud Storage has not answered for minutes; the message says how to go on."""


class DiskError(RuntimeError):
    """A disk is full, fails or may not be written; the message says how to go on."""


class FailedRunsError(RuntimeError):
    """Runs of a sweep have failed; the message names each with its output."""


class StoppedError(Exception):
    """A signal ended the run after its state was saved; `in_group`: on several workers at once."""

    def __init__(self, signal_number: int, message: str, in_group: bool) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.in_group = in_group


def some_of(names: Sequence[str]) -> str:
    """Names for a message, `a, b, c`; of many, the first ten and how many there are."""
    more = f", ... ({len(names)} in all)" if len(names) > _NAMES_AT_MOST else ""
    return ", ".join(names[:_NAMES_AT_MOST]) + more
