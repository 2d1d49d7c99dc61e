"""The machine and the software that made a run's results."""

import os
import platform

import keras
import tensorflow as tf

# These choose other kernels or other mathematics, and so may change the bits of a result.
_DECIDING = (
    *("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS"),
    *("TF_CUDNN_DETERMINISTIC", "NVIDIA_TF32_OVERRIDE"),
)


def environment(strategy: tf.distribute.Strategy) -> dict[str, str | int]:
    """What a reader of results wants to know of the machine that made them."""
    devices = tf.config.list_physical_devices()
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count() or 0,
        "accelerators": len(devices) - len(tf.config.list_physical_devices("CPU")),
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "settings": " ".join(f"{n}={v}" for n in _DECIDING if (v := os.environ.get(n))),
    }
