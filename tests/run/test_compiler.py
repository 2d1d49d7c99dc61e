import json
import logging
from pathlib import Path

import pytest
import tensorflow as tf

from tests.conftest import build_gan_on, make_strategy_of
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import changed
from trainer.cli import cpu
from trainer.config import Config
from trainer.gan import kernels
from trainer.run import compiler
from trainer.run.checkpoints import Checkpoints
from trainer.run.compiler import as_trained, decided, keep_choice, kept_choice
from trainer.run.environment import environment, tell_other_machine
from trainer.run.run_dir import claim_run_dir, write_environment


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with AVX2 and oneDNN, whatever this is."""
    monkeypatch.setattr(cpu, "features", lambda: frozenset({"avx2"}))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")


def config_of(jit_compile: str) -> Config:
    return changed(tiny_config(), {"train.jit_compile": jit_compile})


def xla_decided(jit_compile: str, kept: bool | None = None) -> bool:
    found = decided(config_of(jit_compile), make_strategy_of(1), kept).train.jit_compile
    return {"true": True, "false": False}[found]


@pytest.mark.parametrize(
    "features, onednn, gpu, xla",
    [
        ({"avx2"}, "1", False, False),
        ({"avx2"}, "0", False, True),
        (set(), "1", False, True),
        ({"avx2"}, "1", True, True),
    ],
)
def test_auto_takes_what_is_faster(
    features: set[str], onednn: str, gpu: bool, xla: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "features", lambda: features)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    if gpu:
        device = tf.config.LogicalDevice("/device:GPU:0", "GPU")
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda: [device])
    assert xla_decided("auto") == xla
    assert kernels.uses_xla("auto") == xla


def test_what_is_asked_for_wins_then_what_the_run_has(caplog: pytest.LogCaptureFixture) -> None:
    assert xla_decided("true") and not xla_decided("false", kept=False)
    assert xla_decided("auto", kept=True)
    assert not caplog.records
    assert not xla_decided("false", kept=True)
    assert "went with XLA" in caplog.messages[-1]


def test_a_tpu_compiles_everything_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trainer")
    monkeypatch.setattr(compiler, "is_tpu", lambda _: True)
    assert not xla_decided("true")
    assert caplog.messages == [
        f"computed by XLA (a TPU's strategy compiles the whole step); oneDNN on; CPU: "
        f"{cpu.described()}"
    ]


@pytest.mark.parametrize("features, told", [({"avx2"}, True), ({"avx2", "avx512_bf16"}, False)])
def test_slow_bfloat16_is_told(
    features: set[str],
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cpu, "features", lambda: features)
    config = changed(tiny_config(), {"model.precision": "bfloat16"})
    decided(config, make_strategy_of(1), None)
    assert ["12 times" in message for message in caplog.messages] == [True] * told


def begun(run_dir: Path, jit_compile: str) -> str:
    """A run with one checkpoint, as `train` leaves it."""
    config, strategy = config_of(jit_compile), make_strategy_of(1)
    machine = environment(decided(config, strategy, None), strategy)
    claim_run_dir(str(run_dir), config, machine)
    assert kept_choice(str(run_dir)) is None, "nothing to keep without a checkpoint"
    Checkpoints(build_gan_on(config, strategy), str(run_dir)).save(1)
    return str(run_dir)


def test_a_run_keeps_its_choice_on_a_machine_that_would_choose_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = begun(tmp_path, "auto")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setattr(cpu, "cores", lambda: 99)
    assert kept_choice(run_dir) is False and not xla_decided("auto", kept_choice(run_dir))
    assert as_trained(run_dir).train.jit_compile == "false"
    tell_other_machine(run_dir, environment(config_of("false"), make_strategy_of(1)))
    told = caplog.messages[-1]
    assert "threads was " in told and "is 99" in told and "onednn was True, is False" in told
    assert "settings was" not in told, "oneDNN is told once"


def test_a_command_that_saves_nothing_changes_no_note(tmp_path: Path) -> None:
    run_dir = begun(tmp_path, "auto")
    before = (tmp_path / "environment.json").read_bytes()
    config, strategy = config_of("true"), make_strategy_of(1)
    machine = environment(config, strategy)
    claim_run_dir(run_dir, config, machine)
    assert (tmp_path / "environment.json").read_bytes() == before
    assert kept_choice(run_dir) is False
    Checkpoints(build_gan_on(config, strategy), run_dir, machine=machine).save(2)
    assert kept_choice(run_dir) is True


@pytest.mark.parametrize("setting, on", [("0", False), ("1", True), ("yes", False), ("", False)])
def test_a_change_of_settings_is_told(
    setting: str, on: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a version that noted no `onednn`, on a CPU with AVX2 only; now oneDNN is on."""
    flags = "--xla_a=1 --xla_b"
    settings = f"XLA_FLAGS={flags}" + f" TF_ENABLE_ONEDNN_OPTS={setting}" * bool(setting)
    write_environment(str(tmp_path), {"settings": settings})
    now = environment(config_of("false"), make_strategy_of(1))
    tell_other_machine(str(tmp_path), now)
    told = caplog.messages[-1]
    assert f"settings was XLA_FLAGS={flags}, is " in told
    assert ("onednn was False, is True" in told) is not on


@pytest.mark.parametrize("text", [None, "{", '{"xla": "yes"}'])
def test_a_run_that_nobody_knows_of_says_so(
    text: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir, path = begun(tmp_path, "auto"), tmp_path / "environment.json"
    path.write_text(text) if text else path.unlink()
    assert kept_choice(run_dir) is None
    assert "does not say whether the run went with XLA" in caplog.messages[-1]


def test_a_run_of_an_earlier_version_had_noted_it_in_its_config(tmp_path: Path) -> None:
    run_dir = begun(tmp_path, "true")
    for written in (True, False):
        saved = json.loads((tmp_path / "config.json").read_text())
        saved["train"]["jit_compile"] = written
        (tmp_path / "config.json").write_text(json.dumps(saved))
        (tmp_path / "environment.json").write_text('{"cpus": 2}')
        assert kept_choice(run_dir) is written
        keep_choice(run_dir, written)
        claim_run_dir(run_dir, config_of("auto"), {"xla": not written})
        assert kept_choice(run_dir) is written, "though no config tells it any more"
