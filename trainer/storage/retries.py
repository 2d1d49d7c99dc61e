"""Trying again what may succeed later."""

import dataclasses
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger(__name__)

_ResultT = TypeVar("_ResultT")


@dataclasses.dataclass(frozen=True)
class Backoff:
    """How long to wait before each further attempt: twice as long as before, up to a bound."""

    attempts: int = 5
    first_seconds: float = 1.0
    seconds_at_most: float = 32.0

    def seconds(self, failures: int) -> float:
        """The wait after so many failures, at random between half of it and all of it.

        At random, so that many workers that failed together do not come back together.
        """
        longest = min(self.first_seconds * 2 ** (failures - 1), self.seconds_at_most)
        return longest * random.uniform(0.5, 1.0)


def retried(
    what: str,
    attempt: Callable[[], _ResultT],
    *,
    may_retry: Callable[[Exception], bool],
    backoff: Backoff = Backoff(),
    sleep: Callable[[float], None] = time.sleep,
) -> _ResultT:
    """Calls `attempt` until it succeeds; logs the first failure only.

    Args:
        what: named in the log, such as a path.
        attempt: may be called several times.
        may_retry: tells whether an error may pass; others are raised at once.
        backoff: how often and how fast.
        sleep: waits for so many seconds.

    Raises:
        Exception: that of the last attempt.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except Exception as error:
            failures += 1
            if failures == backoff.attempts or not may_retry(error):
                raise
            if failures == 1:
                reason = str(error).strip().split("\n")[0] or type(error).__name__
                log.warning("%s: %s; tries again for a while", what, reason)
        sleep(backoff.seconds(failures))
