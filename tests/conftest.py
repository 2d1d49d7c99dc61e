"""Four logical CPU devices for every test process, and batches spread over some of them."""

import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import Config
from trainer.data.prepare import prepare
from trainer.gan.state import Gan, build_gan

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


@functools.cache
def make_strategy_of(replicas: int) -> tf.distribute.Strategy:
    """One device, or a mirrored strategy over the first logical CPUs."""
    if replicas == 1:
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    return tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(replicas)])


def build_gan_on(config: Config, strategy: tf.distribute.Strategy) -> Gan:
    """The initial state of a config on a strategy."""
    with strategy.scope():
        return build_gan(config)


def spread(images: np.ndarray, strategy: tf.distribute.Strategy) -> tf.Tensor:
    """A global batch as a per-replica value, in the order of the replicas."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return tf.constant(images)
    shares = np.split(images, replicas)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(shares[context.replica_id_in_sync_group])
    )


def real_batch(step: int, batch: int = 8) -> np.ndarray:
    """Some uint8 images [batch, 8, 8, 1] of a step."""
    return np.random.default_rng(step).integers(0, 256, (batch, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """20 prepared images of 8x8x1 in 2 shards."""
    folder = tmp_path_factory.mktemp("tiny")
    np.savez(folder / "images.npz", images=np.concatenate([real_batch(s, 10) for s in (0, 1)]))
    prepare(f"npz:{folder / 'images.npz'}", str(folder / "records"), shards=2)
    return str(folder / "records")
