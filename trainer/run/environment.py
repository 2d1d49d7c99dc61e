"""The machine and the software that made a run's results."""

import logging
import os
import platform
import re
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
_ONEDNN = re.compile(r"TF_ENABLE_ONEDNN_OPTS=(\S*) ?")
_LAST_BITS = ("tensorflow", "keras", "cpu", "threads", "accelerators", "onednn", "settings")


def environment(config: Config, strategy: tf.distribute.Strategy) -> Environment:
    """What a reader of results wants to know of the machine that made them.

    `config`: its compiler decided.
    """
    devices = tf.config.get_visible_devices()
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu.described(),
        "cpus": os.cpu_count() or 0,
        "threads": _threads(),
        "accelerators": sum(device.device_type != "CPU" for device in devices),
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "xla": config.train.jit_compile == "true" or is_tpu(strategy),
        "onednn": cpu.has_fast_kernels(),
        "settings": " ".join(f"{n}={v}" for n in _DECIDING if (v := os.environ.get(n))),
    }


def tell_other_machine(run_dir: str, now: Environment) -> None:
    """Logs it where a run goes on on what may give other last bits than what it began on."""
    before = _deciding(json_object(os.path.join(run_dir, ENVIRONMENT)))
    changes = [
        f"{name} was {str(before[name]) or 'empty'}, is {str(value) or 'empty'}"
        for name, value in _deciding(now).items()
        if name in before and before[name] != value
    ]
    if changes:
        log.warning(
            "the run goes on on another machine or with other settings (%s): its last bits may not "
            "be those of a run in one piece",
            "; ".join(changes),
        )


def _deciding(noted: Environment) -> dict[str, str | int]:
    """The part of it that decides over the last bits, in the terms of this version."""
    found = {name: noted[name] for name in _LAST_BITS if name in noted}
    if "settings" in found:
        settings = str(found["settings"])
        onednn, found["settings"] = _ONEDNN.search(settings), _ONEDNN.sub("", settings).strip()
        # Earlier versions noted no more of oneDNN than what the user had set.
        found.setdefault("onednn", cpu.has_fast_kernels_with(onednn[1] if onednn else ""))
    return found


def _threads() -> int:
    """That one operation of TensorFlow's may use on the CPU."""
    asked = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    configured = tf.config.threading.get_intra_op_parallelism_threads()
    return configured or (int(asked) if asked.isdigit() else 0) or cpu.cores()
