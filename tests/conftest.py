"""Four logical CPU devices for every test process, and batches spread over some of them."""

import functools
import os
import signal
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A third less time. Whole runs, which tests.helpers.command starts, are compiled as users' are.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Where libtpu is installed, JAX would look for a TPU first.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.command import STARTED
from tests.helpers.examples import prepared
from trainer.config import Config
from trainer.gan.build import build_gan
from trainer.gan.state import Gan
from trainer.gan.step import AdversarialStep

# In the background of a script and under nohup they are ignored, by all that is started here too:
# in the processes that run tests, so that nohup still keeps the one that collects what they say.
signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    """A program whose test has failed would take the others' time."""
    yield
    while STARTED:
        if (program := STARTED.pop()).poll() is None:
            program.kill()
            program.wait()


@functools.cache
def make_strategy_of(replicas: int) -> tf.distribute.Strategy:
    """One device, or a mirrored strategy over the first logical CPUs."""
    if replicas == 1:
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    return tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(replicas)])


def build_gan_on(config: Config, strategy: tf.distribute.Strategy) -> Gan:
    """The initial state of a config on a strategy."""
    with strategy.scope():
        return build_gan(config, total_steps=100)


def spread(values: np.ndarray, strategy: tf.distribute.Strategy) -> tf.Tensor:
    """A global batch as a per-replica value, in the order of the replicas."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return tf.constant(values)
    shares = np.split(values, replicas)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(shares[context.replica_id_in_sync_group])
    )


def real_batch(number: int, batch: int = 8, resolution: int = 8) -> np.ndarray:
    """Some uint8 images [batch, resolution, resolution, 1]."""
    shape = (batch, resolution, resolution, 1)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def real_labels(batch: int = 8) -> np.ndarray:
    """Labels of three classes, int32 [batch]."""
    return np.arange(batch, dtype=np.int32) % 3


def batches_of_step(step: int, config: Config, strategy: tf.distribute.Strategy) -> list[Any]:
    """The batches of D's updates in one step, as the training loop hands them over."""
    per_step, size = config.train.discriminator_steps, config.train.global_batch_size
    labels, resolution = real_labels(size), config.model.resolution
    return [
        (spread(real_batch(number, size, resolution), strategy), spread(labels, strategy))
        for number in range(step * per_step, (step + 1) * per_step)
    ]


def each_step(
    gan: Gan, config: Config, steps: int, replicas: int = 1
) -> Iterator[dict[str, float]]:
    """Goes on for some steps from where `gan` is; yields the metrics after each."""
    strategy = make_strategy_of(replicas)
    train_step = AdversarialStep(gan, config, strategy)
    first = int(gan.step.numpy())
    for step in range(first, first + steps):
        metrics, _ = train_step(batches_of_step(step, config, strategy), tf.constant(0.0))
        yield {name: float(value) for name, value in metrics.items()}


def state_of(gan: Gan) -> dict[str, np.ndarray]:
    """Every variable of the networks, their optimizers and the average."""
    parts = [gan.generator, gan.discriminator, gan.generator_optimizer, gan.discriminator_optimizer]
    parts += [gan.ema] if gan.ema else []
    return {f"{i} {v.path}": v.numpy() for i, part in enumerate(parts) for v in part.variables}


def assert_same_state(one: Gan, other: Gan) -> None:
    for (name, value), again in zip(state_of(one).items(), state_of(other).values(), strict=True):
        np.testing.assert_array_equal(again, value, err_msg=name)


def run_steps(gan: Gan, config: Config, steps: int, replicas: int = 1) -> list[dict[str, float]]:
    """All of `each_step` at once."""
    return list(each_step(gan, config, steps, replicas))


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """20 prepared images of 8x8x1 in 2 shards."""
    images = np.concatenate([real_batch(seed, 10) for seed in (0, 1)])
    return prepared(tmp_path_factory.mktemp("tiny"), images)


@pytest.fixture(scope="session")
def noisy_records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """400 prepared images of 8x8x1, enough to evaluate with: noise whose brightness differs."""
    images = real_batch(0, 400) // np.random.default_rng(1).integers(1, 9, (400, 1, 1, 1))
    return prepared(tmp_path_factory.mktemp("noisy"), images.astype(np.uint8))
