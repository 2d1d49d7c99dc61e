"""The machine and the software that made a run's results."""

import logging
import os
import platform
from collections.abc import Mapping

import keras
import tensorflow as tf

from trainer.cli import cpu
from trainer.config import Config
from trainer.run.run_dir import ENVIRONMENT, json_object
from trainer.strategy import is_tpu

log = logging.getLogger(__name__)

Environment = Mapping[str, str | int]

# These choose other kernels or other mathematics, and so may change the bits of a result.
_DECIDING = (
    *("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS"),
    *("TF_CUDNN_DETERMINISTIC", "NVIDIA_TF32_OVERRIDE"),
)
_LAST_BITS = ("tensorflow", "keras", "cpu", "threads", "accelerators", "onednn")


def environment(config: Config, strategy: tf.distribute.Strategy) -> Environment:
    """What a reader of results wants to know of the machine that made them.

    `config`: its compiler decided.
    """
    devices = tf.config.list_physical_devices()
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu.described(),
        "cpus": os.cpu_count() or 0,
        "threads": _threads(),
        "accelerators": len(devices) - len(tf.config.list_physical_devices("CPU")),
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "xla": config.train.jit_compile == "true" or is_tpu(strategy),
        "onednn": cpu.has_fast_kernels(),
        "settings": " ".join(f"{n}={v}" for n in _DECIDING if (v := os.environ.get(n))),
    }


def tell_other_machine(run_dir: str, now: Environment) -> None:
    """Logs it where a run has gone on another kind of machine, whose last bits may differ."""
    before = json_object(os.path.join(run_dir, ENVIRONMENT))
    changes = [
        f"{name} was {before[name]}, is {now[name]}"
        for name in _LAST_BITS
        if name in before and before[name] != now[name]
    ]
    if changes:
        log.warning(
            "the run goes on on another machine (%s): its last bits may not be those of a run in "
            "one piece",
            "; ".join(changes),
        )


def _threads() -> int:
    """That one operation of TensorFlow's may use on the CPU."""
    asked = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    configured = tf.config.threading.get_intra_op_parallelism_threads()
    return configured or (int(asked) if asked.isdigit() else 0) or cpu.cores()
