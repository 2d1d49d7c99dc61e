import os
from pathlib import Path

import pytest

from trainer.cli import cpu

LAPTOP = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse4_2 avx avx2 fma\n"
SERVER = LAPTOP.replace("fma", "fma avx512f avx512_vnni avx512_bf16")
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)


def on_machine(text: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A /proc/cpuinfo of one's own; None: there is none, as on macOS."""
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(cpu, "_CPU_INFO", path)


@pytest.mark.parametrize(
    "text, told, onednn, bfloat16",
    [
        (LAPTOP, "Some CPU, avx2", True, False),
        (SERVER, "Some CPU, avx2, avx512f, avx512_vnni, avx512_bf16", True, True),
        (LAPTOP.replace("avx2", "avx"), "Some CPU", False, False),
        (ARM, "", False, False),
        (None, "", False, False),
    ],
)
def test_what_each_machine_gets(
    text: str | None,
    told: str,
    onednn: bool,
    bfloat16: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    on_machine(text, monkeypatch, tmp_path)
    cpu.use_fast_kernels()
    assert cpu.has_fast_kernels() == onednn == ("TF_ENABLE_ONEDNN_OPTS" in os.environ)
    assert cpu.has_fast_bfloat16() == bfloat16
    assert cpu.described() == told or (not told and "," not in cpu.described())


@pytest.mark.parametrize(
    "machine, own, expected",
    [
        *((machine, "0", False) for machine in (LAPTOP, SERVER)),
        *((machine, own, True) for machine in (LAPTOP, SERVER) for own in ("1", "TRUE")),
        # As if it were not set, to TensorFlow.
        *((LAPTOP, own, False) for own in ("", "yes")),
        *((SERVER, own, True) for own in ("", "yes")),
        (ARM, "1", False),
    ],
)
def test_what_the_user_has_set_stays(
    machine: str, own: str, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_machine(machine, monkeypatch, tmp_path)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", own)
    cpu.use_fast_kernels()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == own
    assert cpu.has_fast_kernels() == expected


def test_the_cores_are_those_of_this_process() -> None:
    assert 1 <= cpu.cores() <= (os.cpu_count() or 1)
