"""Our exported programs, run by JAX without TensorFlow's help, are our step."""

from pathlib import Path

import numpy as np
import pytest

from bench.peers.peer import disagreements
from bench.task import Task
from bench.timed_processes import Candidate, TimedProcesses
from tests.bench.test_peers import config, our_facts, our_weights, some_inputs
from tests.conftest import real_batch

jax = pytest.importorskip("jax", reason="bench/requirements.txt is not installed")
pytest.importorskip("optax", reason="bench/requirements.txt is not installed")


def test_exported_programs_are_our_step(tmp_path: Path) -> None:
    from bench.export_programs import PLATFORMS, export_programs

    export_programs(config(), str(tmp_path), real_batch(0))
    assert all((tmp_path / f"generator.{platform}").exists() for platform in PLATFORMS)
    arguments = {
        "task": Task.of(config()),
        "images": real_batch(0),
        "folder": str(tmp_path),
        "platform": "cpu",
    }
    # In a process of its own, where nothing of TensorFlow's can help.
    with TimedProcesses(
        [Candidate("exported", "tests.helpers.waiting:exported_peer", arguments)]
    ) as processes:
        found = processes.call_one("exported", "facts", *our_weights(), *some_inputs())
        assert not processes.call_one("exported", "has_tensorflow")
    assert disagreements(found, our_facts(), 1e-3) == []
    # The random numbers are ours too: the losses agree, not only in range.
    np.testing.assert_allclose(found.losses, our_facts().losses, rtol=1e-4)
