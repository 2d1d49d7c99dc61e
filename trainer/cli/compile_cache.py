"""Compiled programs kept on disk, so that a run that starts again need not wait for XLA."""

import hashlib
import importlib.metadata
import os
import platform

from trainer.cli import cpu
from trainer.errors import UserError
from trainer.storage.bucket import is_gs


def use_compile_cache(folder: str) -> None:
    """Lets TensorFlow keep what XLA compiles in `folder`; call it before TensorFlow is imported.

    Programs are kept by version of TensorFlow and kind of processor, since those of another
    may not run, and found by what they compute. Nothing is ever removed.

    Raises:
        UserError: the folder is on gs://, which XLA cannot write to.
    """
    if is_gs(folder):
        raise UserError(
            f"--compile_cache={folder}: XLA keeps programs on local disks; give a local folder."
        )
    path = os.path.join(os.path.abspath(folder), _name_of_this_machine())
    others = os.environ.get("TF_XLA_FLAGS", "")
    # In quotes, since flags are parted at blanks.
    quoted = path.replace("\\", "\\\\").replace('"', '\\"')
    flag = f'--tf_xla_persistent_cache_directory="{quoted}"'
    os.environ["TF_XLA_FLAGS"] = f"{others} {flag}".strip()
    # At every start it calls two tuning hints in a kept program unknown, an error in its eyes.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _name_of_this_machine() -> str:
    """Such as `tensorflow-2.21.0-x86_64-1a2b3c4d`, the last part from the processor's features."""
    features = " ".join(sorted(cpu.features())) or platform.processor()
    digest = hashlib.sha256(features.encode()).hexdigest()[:8]
    return f"tensorflow-{_tensorflow_version()}-{platform.machine()}-{digest}"


def _tensorflow_version() -> str:
    for name in ("tensorflow", "tensorflow-tpu", "tensorflow-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
