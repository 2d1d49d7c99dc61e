import os
from pathlib import Path

import pytest

from tests.helpers.command import assert_same_bits, command_on_20_images
from trainer.cli.compile_cache import use_compile_cache


def test_kept_programs_are_found_again_and_give_the_same_bits(tmp_path: Path) -> None:
    command, cache = command_on_20_images(tmp_path, xla=True), tmp_path / "my cache"
    flags = (f"--compile_cache={cache}", "--config.train.steps=3")
    command.finish("--config.train.steps=3", run="plain")
    command.finish(*flags, run="first")
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.pb")}
    assert len(kept) == 2, "D's program and G's"
    command.finish(*flags, run="second")
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.pb")} == kept
    for run in ("first", "second"):
        assert_same_bits(tmp_path / "plain", tmp_path / run, step=3)


def test_the_flags_that_were_there_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    use_compile_cache("here")
    first, second = os.environ["TF_XLA_FLAGS"].split()
    assert first == "--tf_xla_clustering_debug"
    assert second.startswith(f'--tf_xla_persistent_cache_directory="{Path("here").absolute()}/')
