"""Turning SIGTERM, SIGHUP and Ctrl-C into a question that the loop asks between steps."""

import signal
from types import FrameType


class SignalWatch:
    """Remembers the first SIGTERM, SIGHUP (a lost terminal) or SIGINT while the context is open.

    What is ignored from the start, as SIGHUP under nohup, stays so. A second Ctrl-C raises
    KeyboardInterrupt at once, for the impatient.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "SignalWatch":
        self._before = {
            number: signal.signal(number, self._remember)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
            if signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
