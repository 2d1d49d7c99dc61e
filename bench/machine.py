"""What the machine and its software are, so that a figure says where it comes from."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("tensorflow", "keras", "torch", "jax", "jaxlib", "flax", "optax", "numpy")


def describe() -> dict[str, object]:
    """CPU, cores, memory, system, versions and date."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": _versions(),
        "date": datetime.date.today().isoformat(),
    }


def one_line(machine: dict[str, object]) -> str:
    """The same in a sentence."""
    versions = machine["versions"]
    assert isinstance(versions, dict)
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}; Python {machine['python']}, {software}; {machine['date']}."
    )


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _field(path: str, name: str) -> str:
    """The first value of `name : value` in a file of such lines; empty where there is none."""
    if not Path(path).exists():
        return ""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
