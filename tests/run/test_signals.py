import os
import signal
from collections.abc import Iterator
from unittest.mock import create_autospec

import pytest

from launch.local import _passing_signals_to
from launch.worker_group import WorkerGroup
from trainer.run.signals import SignalWatch


@pytest.fixture(autouse=True)
def under_nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    assert signal.signal(signal.SIGHUP, before) == signal.SIG_IGN


def test_a_run_goes_on_where_hang_ups_are_ignored() -> None:
    with SignalWatch() as watch:
        os.kill(os.getpid(), signal.SIGHUP)
        assert watch.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert watch.received == signal.SIGTERM


def test_a_launcher_passes_no_ignored_hang_up_on() -> None:
    group = create_autospec(WorkerGroup, instance=True)
    with _passing_signals_to(group):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
    group.tell.assert_called_once_with(signal.SIGTERM, "told by SIGTERM")
