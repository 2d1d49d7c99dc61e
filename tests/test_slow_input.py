"""A run whose storage takes its time."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_strategy_of
from tests.helpers.tiny import tiny_config
from trainer import loop
from trainer.data.distributed import distributed_batches
from trainer.errors import StoppedError
from trainer.run.input_watch import telling_of_waits
from trainer.train import train

READ_SECONDS = 1.0  # stands for 30


def test_it_says_that_it_waits_and_sigterm_ends_it_saved(
    tiny_records: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tiny_config(tiny_records)
    config.train.steps, config.train.jit_compile = 1000, "false"

    def slow(*given: Any) -> Iterator[Any]:
        for number, batch in enumerate(distributed_batches(*given)):
            if number == 2:
                us = (os.getpid(), signal.SIGTERM)
                threading.Timer(READ_SECONDS / 2, os.kill, us).start()
            time.sleep(READ_SECONDS if number in (1, 2) else 0.0)
            yield batch

    def soon(*given: Any) -> Any:
        return telling_of_waits(*given, after_seconds=READ_SECONDS / 4)

    monkeypatch.setattr(loop, "distributed_batches", slow)
    monkeypatch.setattr(loop, "telling_of_waits", soon)
    with pytest.raises(StoppedError, match="stopped at step 3 of 1000; all is saved") as stopped:
        train(config, make_strategy_of(1), str(tmp_path / "run"))
    assert stopped.value.signal_number == signal.SIGTERM
    assert (tmp_path / "run/checkpoints/step-3.index").exists()
    # The first batch may keep it waiting too.
    assert capsys.readouterr().out.count("waiting for input for more than 0.25 s") >= 2
