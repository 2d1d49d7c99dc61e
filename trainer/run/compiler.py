"""Whether XLA computes a run's step: decided once, said in one line, kept when it goes on."""

import dataclasses
import logging
import os

import tensorflow as tf

from trainer.cli import cpu
from trainer.config import Config
from trainer.gan.kernels import on_cpu, set_graph_optimizer, uses_xla
from trainer.run.run_dir import (
    ENVIRONMENT,
    has_config,
    json_object,
    latest_checkpoint,
    read_config,
    write_environment,
)
from trainer.strategy import is_tpu

log = logging.getLogger(__name__)


def decided(config: Config, strategy: tf.distribute.Strategy, kept: bool | None) -> Config:
    """A copy of a config whose `train.jit_compile` is `true` or `false`; logs which, and why.

    Args:
        config: of the run.
        strategy: a TPU's compiles everything itself, and a compilation within can fail.
        kept: what the run has gone with so far, as `kept_choice` tells it.
    """
    asked = config.train.jit_compile
    # 1. a TPU's own way; 2. what is asked for; 3. as the run last went on; 4. what is faster here.
    if is_tpu(strategy):
        xla, why = False, "a TPU's strategy compiles the whole step"
    elif asked != "auto":
        xla, why = asked == "true", f"train.jit_compile={asked}"
    elif kept is not None:
        xla, why = kept, "as the run last went on"
    else:
        xla, why = uses_xla("auto"), "the faster here"
    path = "XLA" if xla or is_tpu(strategy) else "TensorFlow's kernels"
    onednn = "on" if cpu.has_fast_kernels() else "off"
    log.info("computed by %s (%s); oneDNN %s; CPU: %s", path, why, onednn, cpu.described())
    if kept not in (None, path == "XLA"):
        log.warning(
            "the run went %s XLA so far: from here on its last bits are not those of a run in one "
            "piece",
            "with" if kept else "without",
        )
    if config.model.precision == "bfloat16" and on_cpu() and not cpu.has_fast_bfloat16():
        log.warning(
            "model.precision=bfloat16 on a CPU without avx512_bf16 or amx_bf16: a step took 12 "
            "times as long as in float32 where it was measured"
        )
    return _with_choice(config, xla)


def kept_choice(run_dir: str) -> bool | None:
    """Whether XLA computed the run so far; None: it has no checkpoint, or, logged, nobody knows."""
    if latest_checkpoint(run_dir) is None:
        return None
    path = os.path.join(run_dir, ENVIRONMENT)
    noted = json_object(path).get("xla")
    if isinstance(noted, bool):
        return noted
    # Earlier versions noted it in the config only.
    saved = read_config(run_dir).train.jit_compile if has_config(run_dir) else "auto"
    if saved != "auto":
        return saved == "true"
    log.warning(
        "%s does not say whether the run went with XLA so far: the last bits from here on may not "
        "be those of a run in one piece; give --config.train.jit_compile where you know it",
        path,
    )
    return None


def keep_choice(run_dir: str, kept: bool) -> None:
    """Notes what `kept_choice` found where an earlier version did not: the config may change."""
    noted = json_object(os.path.join(run_dir, ENVIRONMENT))
    if "xla" not in noted:
        write_environment(run_dir, noted | {"xla": kept})


def as_trained(run_dir: str) -> Config:
    """The config of a run with its choice, which this process then follows.

    So what it draws has the bits of the grids that the run drew itself.

    Raises:
        UserError: the directory holds no run.
    """
    config, kept = read_config(run_dir), kept_choice(run_dir)
    xla = uses_xla(config.train.jit_compile) if kept is None else kept
    set_graph_optimizer(xla)
    return _with_choice(config, xla)


def _with_choice(config: Config, xla: bool) -> Config:
    train = dataclasses.replace(config.train, jit_compile="true" if xla else "false")
    return dataclasses.replace(config, train=train)
