"""Tells of a loop that waits for its input, as on slow storage."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from trainer.run.phases import Phases

TELLS_AFTER_SECONDS = 10.0


@contextlib.contextmanager
def telling_of_waits(
    phases: Phases, tell: Callable[[str], None], after_seconds: float = TELLS_AFTER_SECONDS
) -> Iterator[None]:
    """Calls `tell` once for each wait for input that lasts longer than `after_seconds`.

    From a thread of its own, since the one that waits is inside TensorFlow. With
    `train.steps_per_call` above 1 it waits in the middle of a call, which is no phase of its own.
    """
    ended = threading.Event()

    def watch() -> None:
        told = 0.0
        while not ended.wait(after_seconds / 2):
            since = phases.since
            waits = phases.current == "input" and phases.clock() - since >= after_seconds
            if waits and since != told:
                told = since
                tell(
                    f"waiting for input for more than {after_seconds:g} s: the storage of the "
                    "records is slow or does not answer; SIGTERM is heeded after the read."
                )

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
