import logging

import pytest

from trainer.storage.retries import Backoff, retried


class Flaky:
    """Fails so many times, then succeeds; remembers the waits in between."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error = failures, error
        self.calls = 0
        self.slept: list[float] = []

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


def run(flaky: Flaky, attempts: int = 5) -> str:
    return retried(
        "gs://b/x",
        flaky,
        may_retry=lambda error: isinstance(error, ConnectionError),
        backoff=Backoff(attempts, first_seconds=1.0, seconds_at_most=3.0),
        sleep=flaky.slept.append,
    )


def test_waits_grow_up_to_a_bound_and_are_spread() -> None:
    waits = []
    for _ in range(50):
        flaky = Flaky(4, ConnectionResetError("cut off"))
        assert run(flaky) == "done" and flaky.calls == 5
        waits.append(flaky.slept)
    for column, longest in zip(zip(*waits, strict=True), (1.0, 2.0, 3.0, 3.0), strict=True):
        assert all(longest / 2 <= wait <= longest for wait in column)
        assert max(column) - min(column) > longest / 10


def test_only_the_first_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "trainer.storage.retries"):
        run(Flaky(3, ConnectionResetError("cut off\nand more")))
    assert [record.message for record in caplog.records] == [
        "gs://b/x: cut off; tries again for a while"
    ]


def test_it_ends_with_the_last_error() -> None:
    flaky = Flaky(99, ConnectionResetError("cut off"))
    with pytest.raises(ConnectionResetError):
        run(flaky, attempts=3)
    assert flaky.calls == 3 and len(flaky.slept) == 2


def test_a_lasting_error_is_raised_at_once() -> None:
    flaky = Flaky(99, PermissionError("no"))
    with pytest.raises(PermissionError):
        run(flaky)
    assert flaky.calls == 1 and not flaky.slept
