"""Where the step runs: the only code that knows TPUs, TF_CONFIG and logical devices."""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.errors import LostWorkerError, UserError

_TPU_TIMEOUT_SECONDS = 15

log = logging.getLogger(__name__)


def make_strategy(name: str, logical_devices: int = 0) -> tf.distribute.Strategy:
    """Builds the strategy; call it before anything else touches TensorFlow's devices.

    Args:
        name: cpu, mirrored, multiworker, tpu or auto: the group of TF_CONFIG, else the TPU
            of TPU_NAME, else all GPUs, else the CPU.
        logical_devices: splits the CPU into so many devices, for trying replicas
            without accelerators; 0 or 1: leaves it whole.

    Raises:
        UserError: the devices that `name` asks for are not there.
    """
    if logical_devices > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration() for _ in range(logical_devices)],
        )
    builders: dict[str, Callable[[], tf.distribute.Strategy]] = {
        "cpu": _cpu,
        "mirrored": _mirrored,
        "multiworker": _multiworker,
        "tpu": _tpu,
    }
    if name == "auto":
        name = _best_available(logical_devices)
    if name == "cpu":
        # What is chosen for the devices at hand, such as XLA, is then chosen for the CPU.
        tf.config.set_visible_devices([], "GPU")
    strategy = builders[name]()
    log.info("strategy %s: %d replica(s)", name, strategy.num_replicas_in_sync)
    return strategy


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict() or is_tpu(strategy):
        return True
    return resolver.task_type in ("chief", None) or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def is_multiworker(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes take part, which must do the same at the same step."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether the replicas are chips of a TPU."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def check_agreement(strategy: tf.distribute.Strategy, values: dict[str, int]) -> None:
    """Checks that all workers bring the same numbers, below 2**63; waits for all of them.

    Raises:
        UserError: workers differ; names in what.
    """
    if not is_multiworker(strategy):
        return

    everyone = _gather(strategy, list(values.values()))
    for column, name in enumerate(values):
        if len(set(everyone[:, column])) > 1:
            raise UserError(
                f"the workers do not have the same {name}: give all of them the same command and "
                "a --run_dir that all of them see."
            )


def wait_for_all_workers(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker has come here."""
    check_agreement(strategy, {"place": 0})


def any_worker_says(strategy: tf.distribute.Strategy, own: bool) -> bool:
    """Whether `own` is true on any worker; waits for all of them."""
    if not is_multiworker(strategy):
        return own
    return bool(_gather(strategy, [int(own)]).any())


@contextlib.contextmanager
def naming_lost_workers(strategy: tf.distribute.Strategy, run_dir: str) -> Iterator[None]:
    """Turns TensorFlow's error about a peer that is gone into a LostWorkerError."""
    if not is_multiworker(strategy):
        yield
        return
    try:
        yield
    except tf.errors.OpError as error:
        # The kind of error depends on what notices first: the connection or the heartbeat.
        if not isinstance(error, tf.errors.UnavailableError) and (
            "Collective ops is aborted" not in error.message
        ):
            raise
        raise LostWorkerError(
            "another worker has gone or no longer answers; see its log, then start the whole group "
            f"again with the same command: it goes on from the last checkpoint of {run_dir}."
        ) from error


def make_deterministic() -> None:
    """Lets TensorFlow use only operations whose results never vary from run to run."""
    log.info("deterministic operations only; what that costs: docs/reproducibility.md")
    tf.config.experimental.enable_op_determinism()


def sum_dtype(strategy: tf.distribute.Strategy) -> tf.DType:
    """In which the groups of a batch are added up: float64, which makes the order irrelevant.

    A TPU has no float64 of its own, so there the last bits may depend on the replica count.
    """
    return tf.float32 if is_tpu(strategy) else tf.float64


def check_shares(config: Config, strategy: tf.distribute.Strategy) -> None:
    """Checks that the replicas can share out the batch in whole groups.

    Raises:
        UserError: they cannot; names values that would do.
    """
    batch, group = config.train.global_batch_size, config.group_size
    replicas = strategy.num_replicas_in_sync

    def fitting(share: int) -> int:
        return max(g for g in range(1, min(group, share) + 1) if share % g == 0)

    if batch % replicas:
        below = batch - batch % replicas
        batches = [b for b in (below, below + replicas) if b]
        choices = " or ".join(map(str, batches))
        groups = " or ".join(str(fitting(b // replicas)) for b in batches)
        raise UserError(
            f"train.global_batch_size is {batch}, which {replicas} replicas cannot share evenly; "
            f"{choices} would do, with --config.train.group_size={groups}."
        )
    if (batch // group) % replicas:
        raise UserError(
            f"{replicas} replicas cannot share {batch // group} group(s) of {group} images evenly; "
            f"--config.train.group_size={fitting(batch // replicas)} would do."
        )


def _gather(strategy: tf.distribute.Strategy, own: list[int]) -> np.ndarray:
    """The numbers of all replicas, int64 [replicas, len(own)]."""

    @tf.function(autograph=False)
    def gather(numbers: tf.Tensor) -> tf.Tensor:
        def on_replica() -> tf.Tensor:
            return tf.distribute.get_replica_context().all_gather(numbers[None], axis=0)

        return strategy.experimental_local_results(strategy.run(on_replica))[0]

    return gather(tf.constant(own, tf.int64)).numpy()


def _best_available(logical_devices: int) -> str:
    if len(_workers_of_tf_config()) > 1:
        return "multiworker"
    if os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
        return "tpu"
    if logical_devices > 1 or tf.config.list_physical_devices("GPU"):
        return "mirrored"
    return "cpu"


def _cpu() -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.OneDeviceStrategy("/cpu:0")


def _mirrored() -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        log.info("no GPU found: --strategy=mirrored runs on the CPU")
        return _cpu()
    if len(gpus) == 1:
        return tf.distribute.OneDeviceStrategy("/gpu:0")
    return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])


def _multiworker() -> tf.distribute.Strategy:
    if not _workers_of_tf_config():
        raise UserError(
            "--strategy=multiworker needs the environment variable TF_CONFIG, which is not set; "
            'give each worker its own, such as {"cluster": {"worker": ["host1:2222", '
            '"host2:2222"]}, "task": {"type": "worker", "index": 0}}.'
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _workers_of_tf_config() -> list[str]:
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return []
    try:
        config = json.loads(text)
        # Without a cluster, as {"environment": "cloud"} is, it is about one process.
        cluster = config.get("cluster", {})
        if not cluster:
            return []
        for kind, addresses in cluster.items():
            if type(addresses) is not list or any(type(each) is not str for each in addresses):
                raise ValueError(f"cluster.{kind} is {addresses!r}, not a list of addresses")
        kind, index = config["task"]["type"], config["task"]["index"]
        if not isinstance(index, int) or not 0 <= index < len(cluster[kind]):
            raise ValueError(f"task.index is {index!r}, of {len(cluster[kind])} {kind}(s)")
        return [*cluster.get("chief", []), *cluster.get("worker", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the environment variable TF_CONFIG is {text!r}, which does not describe a cluster "
            f"and this process's task ({error!r}); it takes JSON with cluster.worker, task.type "
            "and task.index."
        ) from error


def _tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = _connect_to_tpu(name)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.OpError, ValueError, OSError) as error:
        reason = str(error).split("\n")[0].split(". Failed")[0]
        raise UserError(
            f"--strategy=tpu found no TPU at TPU_NAME={name} ({reason}): check that this is a TPU "
            "VM, that tensorflow-tpu is installed in place of tensorflow, that no other process "
            "holds the TPU, and that TPU_NAME is unset or right; --strategy=auto runs on what this "
            "machine has."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _connect_to_tpu(name: str) -> tf.distribute.cluster_resolver.TPUClusterResolver:
    """Connects, or raises TimeoutError (an OSError) where nothing answers."""

    def connect() -> None:
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
            tf.config.experimental_connect_to_cluster(resolver)
            outcome.append(resolver)
        except Exception as error:  # raised again in the caller's thread
            outcome.append(error)

    # Connecting to an address where nothing answers blocks for minutes and cannot be
    # cancelled, so it gets a thread that the end of the process takes along.
    outcome: list[Any] = []
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_TPU_TIMEOUT_SECONDS)
    if not outcome:
        raise TimeoutError(f"no answer within {_TPU_TIMEOUT_SECONDS} seconds")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
