import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace

import pytest

from launch import local
from trainer.run.signals import SignalWatch

told: list[int] = []
GROUP = SimpleNamespace(tell=lambda number, reason: told.append(number))


@pytest.fixture
def under_nohup() -> Iterator[None]:
    told.clear()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("under_nohup")
@pytest.mark.parametrize(
    "watching", [SignalWatch, lambda: local._passing_signals_to(GROUP)], ids=["run", "launch"]
)
def test_what_is_ignored_from_the_start_stays_so(watching: type[AbstractContextManager]) -> None:
    with watching() as watch:
        os.kill(os.getpid(), signal.SIGHUP)
        assert watch is None or watch.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert told == [signal.SIGTERM] if watch is None else watch.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
