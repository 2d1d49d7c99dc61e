"""What the machine and its software are, so that a figure says where it comes from."""

import datetime
import importlib.metadata
import os
import platform

from trainer.cli import cpu

_PACKAGES = ("tensorflow", "keras", "torch", "jax", "jaxlib", "flax", "optax", "numpy")


def describe() -> dict[str, object]:
    """CPU and its features, cores, memory, system, versions and date."""
    return {
        "cpu": cpu.described(),
        "cores": cpu.cores(),
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


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
