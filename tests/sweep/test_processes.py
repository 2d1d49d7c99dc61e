import signal
import sys
from pathlib import Path

import pytest

from trainer.config import Config
from trainer.run.signals import SignalWatch
from trainer.sweep.processes import run_trials
from trainer.sweep.trials import trials

# In place of the trainer: refuses, or waits for SIGTERM; seed 1 has the sweep receive a signal.
STAND_IN = """
import os, signal, sys, time
if sys.argv[1] == "refused":
    print("error: no data\\nlast words")
    sys.exit(2)
signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(143)))
if sys.argv[3] == "--config.seed=1":
    os.kill(os.getppid(), int(sys.argv[1]))
time.sleep(60)
"""


def test_bad_input_of_the_first_run_holds_back_the_others(tmp_path: Path) -> None:
    of_sweep = trials(Config(), ["seed=1,2"], str(tmp_path))
    command = [sys.executable, "-c", STAND_IN, "refused"]
    ended = run_trials(of_sweep, command, 1, SignalWatch())
    assert [(run.exit_code, run.last_line()) for run in ended] == [(2, "error: no data")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_waited_for(number: signal.Signals, tmp_path: Path) -> None:
    of_sweep = trials(Config(), ["seed=1,2,3"], str(tmp_path))
    with SignalWatch() as signals:
        ended = run_trials(of_sweep, [sys.executable, "-c", STAND_IN, str(int(number))], 2, signals)
    assert signals.received == number
    results = {run.trial.config.seed: (run.exit_code, run.last_line()) for run in ended}
    assert results[1] == (143, "saved") and results.keys() == {1, 2}
