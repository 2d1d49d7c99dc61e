"""How every command line of the trainer begins and ends: flags, errors, exit codes."""

import functools
import importlib.metadata
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from trainer.cli.parent import end_with_parent
from trainer.cli.paths import check_utf8
from trainer.cli.quiet_start import choose_settings
from trainer.cli.terminal import open_closed_streams, print_if_read
from trainer.errors import (
    DiskError,
    DivergedError,
    FailedRunsError,
    LostWorkerError,
    StoppedError,
    StorageOutageError,
    UserError,
)
from trainer.storage.bucket_errors import naming_buckets_of_streams
from trainer.storage.disk import naming_the_disk

_AGAIN_SECONDS = 10  # what cleaning up may take

Parser = Callable[[list[str]], list[str]]


def run(command: Callable[[], None], parse: Parser = flags.FLAGS) -> NoReturn:
    """Parses the flags, runs the command and ends the process.

    Exit codes: 0 done, 1 failure, 2 bad usage or bad input, 130 Ctrl-C and 143 SIGTERM.

    Args:
        command: what to do once the flags are parsed.
        parse: takes the arguments, the program's name first, and returns those that are no
            flags; raises UserError or absl's errors.
    """
    end_with_parent()
    open_closed_streams()
    choose_settings()
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # A path may hold what the terminal's encoding does not.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app.run(functools.partial(_run, command), flags_parser=functools.partial(_parse, parse))


def answer(text: str) -> NoReturn:
    """Prints what the flags asked for, such as help, and ends the process."""
    print_if_read(text, sys.stdout)
    sys.exit(0)


def leave(exit_code: int, message: str) -> NoReturn:
    """Ends the process with a line on stderr."""
    print_if_read(message, sys.stderr)
    sys.exit(exit_code)


def leave_at_once(exit_code: int, message: str = "") -> NoReturn:
    """Ends the process without freeing anything, for which `Run.batches` would wait.

    All that was to be written has been. Not for a group, whose workers take leave of one another.
    """
    if message:
        print_if_read(message, sys.stderr)
    logging.shutdown()
    print_if_read("", sys.stdout, end="")
    os._exit(exit_code)


def version() -> str:
    """Such as `dcgan-trainer 0.1.0`."""
    try:
        return f"dcgan-trainer {importlib.metadata.version('dcgan-trainer')}"
    except importlib.metadata.PackageNotFoundError:
        return "dcgan-trainer, not installed: run from its folder"


def _parse(parse: Parser, argv: list[str]) -> list[str]:
    if "--version" in argv:
        answer(version())
    try:
        os.getcwd()
    except FileNotFoundError:
        leave(2, "error: the working folder has been deleted: change to one that is there.")
    try:
        program, *arguments = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
        for argument in arguments:
            check_utf8(argument)
        return parse([program, *arguments])
    except UnicodeDecodeError as error:
        leave(2, f"error: what --flagfile names is no text: {error}.")
    except (flags.Error, UserError) as error:
        # What absl says has two lines at times.
        leave(2, f"error: {error}".replace("\n", r"\n"))
    except KeyboardInterrupt:
        leave_at_once(130, "interrupted before anything was begun.")
    except SystemExit:
        # absl leaves --help with 1, which a script takes for a failure.
        sys.exit(0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt, and again where it was swallowed, as TensorFlow does at places."""
    signal.signal(signal.SIGALRM, lambda _, frame: _interrupt(number, frame))
    signal.alarm(_AGAIN_SECONDS)
    raise KeyboardInterrupt(number)


class _PlainFormatter(logging.Formatter):
    """A log line as a sentence: who wrote it and when is of no use to a user."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, marked where it is a warning or worse."""
        mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return mark + super().format(record)


def _run(command: Callable[[], None], argv: list[str]) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    absl_logging.set_verbosity(absl_logging.WARNING)
    absl_logging.get_absl_handler().setFormatter(_PlainFormatter())
    logging.getLogger("trainer").setLevel(logging.INFO)
    try:
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}: flags start with --, see --help.")
        with naming_buckets_of_streams(), naming_the_disk():
            command()
    except UserError as error:
        leave(2, f"error: {error}")
    except LostWorkerError as error:
        leave_at_once(1, f"error: {error}")
    except (DiskError, DivergedError, FailedRunsError, StorageOutageError) as error:
        leave(1, f"error: {error}")
    except StoppedError as stopped:
        end = leave if stopped.in_group else leave_at_once
        end(128 + stopped.signal_number, str(stopped))
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        # At once: Python itself ends by SIGINT where it was interrupted in an `exec`.
        leave_at_once(128 + number, "interrupted; what was saved before stays.")
