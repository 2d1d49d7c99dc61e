"""What this CPU can do, and which of TensorFlow's kernels that asks for; knows no TensorFlow."""

import functools
import os
import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# Where TensorFlow turns oneDNN on by itself.
_ONEDNN_BY_DEFAULT = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}
_DECIDING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def features() -> frozenset[str]:
    """What the CPU can do, by Linux's names, such as avx2; elsewhere unknown and empty."""
    fields = _fields(_CPU_INFO)
    return frozenset((fields.get("flags") or fields.get("Features", "")).split())


def described() -> str:
    """Its name and those of its features that decide over speed, such as `AMD EPYC, avx2`."""
    known = features()
    name = _fields(_CPU_INFO).get("model name") or platform.processor() or platform.machine()
    return ", ".join([name, *(each for each in _DECIDING if each in known)])


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_fast_kernels() -> None:
    """Lets TensorFlow take oneDNN's kernels; call it before TensorFlow is imported.

    By itself it does so only where the CPU has AVX512_VNNI, but with AVX2 they are three times as
    fast as its own. What the user has set in TF_ENABLE_ONEDNN_OPTS stays.
    """
    if "avx2" in features():
        os.environ.setdefault(_ONEDNN, "1")


def has_fast_kernels() -> bool:
    """Whether TensorFlow, imported after `use_fast_kernels`, has oneDNN's kernels for AVX2."""
    return has_fast_kernels_with(os.environ.get(_ONEDNN, ""))


def has_fast_kernels_with(setting: str) -> bool:
    """The same where TF_ENABLE_ONEDNN_OPTS has another value, or, empty, is not set."""
    # TensorFlow takes every other value for none.
    on = {"1": True, "true": True, "0": False, "false": False}.get(setting.lower())
    return "avx2" in features() and (bool(features() & _ONEDNN_BY_DEFAULT) if on is None else on)


def has_fast_bfloat16() -> bool:
    """Whether it multiplies in bfloat16 by instructions of its own."""
    return bool(features() & {"avx512_bf16", "amx_bf16"})


@functools.cache
def _fields(path: Path) -> dict[str, str]:
    """The first value of every `name : value` in Linux's description; empty where there is none.

    Read once: the kernel makes it up anew for every core each time.
    """
    if not path.exists():
        return {}
    pairs = (
        line.partition(":")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    found: dict[str, str] = {}
    for key, _, value in pairs:
        found.setdefault(key.strip(), value.strip())
    return found
