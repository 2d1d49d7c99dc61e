"""The step that one chip of a TPU runs, as a program for a compiler, without a TPU.

On a TPU, `TPUStrategy` has XLA compile what it runs on a replica, with sums over the replicas
inside. Here a strategy of our own stands in for it while the very same code is traced, so what
is compiled is the trainer's step with its optimizers, averages and metrics, not a copy of it.
"""

from typing import Any

import tensorflow as tf

# The public tf.distribute has no strategy to derive from, and no operation of XLA.
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.distribute.one_device_strategy import OneDeviceExtended

from trainer.config import Config
from trainer.gan.build import build_gan
from trainer.gan.step import AdversarialStep


class ReplicaOfMany(tf.distribute.Strategy):
    """One replica out of `num_replicas`; its sums become all-reduces in the compiled program."""

    def __init__(self, num_replicas: int, sums_over_replicas: bool = True) -> None:
        """`sums_over_replicas=False` leaves the all-reduces out."""
        super().__init__(_Extended(self, num_replicas, sums_over_replicas))


class _Extended(OneDeviceExtended):
    def __init__(
        self, strategy: ReplicaOfMany, num_replicas: int, sums_over_replicas: bool
    ) -> None:
        super().__init__(strategy, "/cpu:0")
        self._replicas = num_replicas
        self._sums = sums_over_replicas and num_replicas > 1

    @property
    def _num_replicas_in_sync(self) -> int:
        return self._replicas

    def _reduce_to(
        self, reduce_op: Any, value: tf.Tensor, destinations: Any, options: Any
    ) -> tf.Tensor:
        assert reduce_op == tf.distribute.ReduceOp.SUM, reduce_op
        if not self._sums:
            return value
        everyone = [list(range(self._replicas))]
        return gen_xla_ops.xla_all_reduce(value, everyone, "Add", "CrossReplica")


def step_program(config: Config, strategy: ReplicaOfMany) -> bytes:
    """The whole step on one replica: updates of D and G, all-reduces, optimizers, average of G.

    The groups are added up in float32, as on a TPU. `train.convolutions` and `train.jit_compile`
    must have been resolved for a TPU, since auto would look at this machine.

    Returns:
        A serialized StableHLO module. All variables are arguments, and those that the step
        writes are results that may take the place of the arguments.
    """
    assert config.train.convolutions != "auto" and config.train.jit_compile == "false"
    with strategy.scope():
        gan = build_gan(config, total_steps=1)
    step = AdversarialStep(gan, config, strategy, sum_dtype=tf.float32)

    @tf.function(jit_compile=True, autograph=False)
    def program(
        replica: tf.Tensor,
        batch_number: tf.Tensor,
        ema_decay: tf.Tensor,
        stop: tf.Tensor,
        *images_and_labels: tf.Tensor,
    ) -> Any:
        batches = list(zip(images_and_labels[::2], images_and_labels[1::2], strict=True))
        with tf.distribute.ReplicaContext(strategy, replica):
            return step.replica_step(batches, batch_number, ema_decay, stop)

    compiler_ir = program.experimental_get_compiler_ir(*_arguments(config, strategy))
    # TensorFlow lowers the same operations for every platform and has no TPU's at hand.
    return compiler_ir(stage="stablehlo_serialized", platform_name="CPU")


def _arguments(config: Config, strategy: ReplicaOfMany) -> list[tf.TensorSpec]:
    share = config.train.global_batch_size // strategy.num_replicas_in_sync
    side, channels = config.model.resolution, config.model.channels
    images = tf.TensorSpec((share, side, side, channels), tf.uint8)
    labels = tf.TensorSpec((share,), tf.int32)
    scalars = (tf.int32, tf.int64, tf.float32, tf.float32)
    return [
        *(tf.TensorSpec((), dtype) for dtype in scalars),
        *[images, labels] * config.train.discriminator_steps,
    ]
