"""What computes the gradients: XLA's programs, or TensorFlow's kernels where these are faster."""

import tensorflow as tf

from trainer.choices import JitCompile
from trainer.cli import cpu


def on_cpu() -> bool:
    """Whether this process has no accelerator."""
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def uses_xla(jit_compile: JitCompile) -> bool:
    """Whether XLA compiles the gradients: as asked, or for `auto` as is faster on this machine.

    By the kind of device alone: a timing could come out otherwise at the next start, and with it
    the bits of a run. On a CPU oneDNN's convolutions are ahead of XLA's, and these of all others.
    """
    if jit_compile == "auto":
        return not (on_cpu() and cpu.has_fast_kernels())
    return jit_compile == "true"


def set_graph_optimizer(xla: bool) -> None:
    """Has the graph optimizer leave what this process traces as written, where that counts.

    Without XLA it merges the programs of a replica's groups into one and rearranges that, so that
    the bits would depend on the number of replicas. On accelerators it also chooses layouts.
    """
    as_written = on_cpu() and not xla
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": as_written})
