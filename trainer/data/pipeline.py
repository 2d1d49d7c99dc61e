"""From records to the batches of every replica, the same for any number of replicas.

The images of all epochs form one endless row: image n belongs to epoch n // N
and is at position n % N of that epoch, a permutation keyed by (seed, epoch).
Step s takes images [s * B, (s + 1) * B), so its batch is a function of the seed
and of s alone. Resuming is starting at a later step; no iterator is ever saved.
"""

import contextlib
import shlex
from collections.abc import Callable, Iterator

import tensorflow as tf

from trainer.data import tfrecord
from trainer.data.staging import shard_paths
from trainer.data.tfrecord import Manifest
from trainer.errors import UserError
from trainer.storage.disk import storage_refused

_MIB = 2**20
_LOAD_BATCH = 1024  # images parsed at once while loading into memory
_SHARDS_READ_AT_ONCE = 16
_RECORDS_IN_A_ROW = 16  # from one shard before turning to the next

_Epoch = Callable[[tf.Tensor], tf.data.Dataset]
"""From the number of an epoch to its images in order: indices, or serialized records."""
_Read = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""From some of these to images and labels."""


def fits_in_memory(manifest: Manifest, memory_budget_mib: int) -> bool:
    """Whether `replica_batches` keeps the set in memory; otherwise it streams from the shards."""
    height, width, channels = manifest.image_shape
    return manifest.num_images * height * width * channels <= memory_budget_mib * _MIB


def check_enough_images(manifest: Manifest, global_batch_size: int) -> None:
    """Raises UserError where the set has fewer images than a batch."""
    if manifest.num_images < global_batch_size:
        raise UserError(
            f"the set has {manifest.num_images} images, fewer than a batch of "
            f"{global_batch_size}: lower --config.train.global_batch_size."
        )


@tf.autograph.experimental.do_not_convert
def replica_batches(
    records_dir: str,
    manifest: Manifest,
    *,
    seed: int,
    start_step: int,
    global_batch_size: int,
    num_replicas: int,
    first_replica: int,
    local_replicas: int,
    memory_budget_mib: int,
    shuffle_buffer_images: int,
) -> tf.data.Dataset:
    """The batches of this worker's replicas, from `start_step` on and without end.

    Step by step, and within a step replica by replica, as tf.distribute hands them out. Replica r
    of n, over all workers, gets rows [r * B / n, (r + 1) * B / n) of the step's global batch of B,
    a multiple of n. A set within the memory budget is kept in memory as uint8, and its epochs are
    drawn from all permutations; otherwise records of a few shards at a time are mixed in a buffer.
    The sizes of the shards must have been checked.

    Returns:
        A dataset of pairs: images, uint8 [B / n, H, W, C], and labels, int32 [B / n], -1 where
        there are none. Iterating over it (or, in memory, this call) raises tf.errors.DataLossError
        at a damaged record; TensorFlow does not name the file, `prepare --verify` does.

    Raises:
        UserError: fewer images than a batch.
    """
    check_enough_images(manifest, global_batch_size)
    if fits_in_memory(manifest, memory_budget_mib):
        epoch_in_order, read = _from_memory(records_dir, manifest, seed)
    else:
        epoch_in_order, read = _from_shards(records_dir, manifest, seed, shuffle_buffer_images)

    def own_rows(batch: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(batch, [num_replicas, global_batch_size // num_replicas])
        return rows[first_replica : first_replica + local_replicas]

    first_epoch, position = divmod(start_step * global_batch_size, manifest.num_images)
    # Indices or serialized records up to `read`: the images of other replicas,
    # and those skipped by a resumed run, are never decoded.
    return (
        tf.data.Dataset.range(first_epoch, tf.int64.max)
        .flat_map(epoch_in_order)
        .skip(position)
        .batch(global_batch_size, drop_remainder=True)
        .map(own_rows)
        .unbatch()
        .map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_options())
    )


@contextlib.contextmanager
def naming_damaged_records(records_dir: str) -> Iterator[None]:
    """Adds to TensorFlow's errors what they leave out: how to find the damaged file."""
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.FailedPreconditionError) as error:
        if storage_refused(error):
            raise
        raise UserError(
            f"a record in {records_dir} is damaged or missing; find the file with "
            f"python -m trainer.data.prepare --verify={shlex.quote(records_dir)}."
        ) from error


@tf.autograph.experimental.do_not_convert
def batches_in_order(records_dir: str, manifest: Manifest) -> tf.data.Dataset:
    """All images once, in the order of the shards: uint8 [at most 1024, H, W, C] with labels.

    Iterating over it raises tf.errors.DataLossError at a damaged record, FailedPreconditionError
    where there are fewer or more than the manifest says: see `naming_damaged_records`.
    """
    records = tf.data.TFRecordDataset(shard_paths(records_dir, manifest))
    # A shard that is cut at a record's end reads as a shorter one.
    whole = tf.data.experimental.assert_cardinality(manifest.num_images)
    return (
        records.apply(whole)
        .batch(_LOAD_BATCH)
        .map(
            lambda batch: tfrecord.parse_batch(batch, manifest),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .with_options(_options())
    )


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # The rewriting of the graph would copy the images that `read` captures: twice
    # the memory and 3 s for every GiB, and nothing here gets faster by it.
    options.experimental_optimization.apply_default_optimizations = False
    # The thread that tunes sleeps for up to a minute at a time, and an iterator that is freed
    # waits for it (TensorFlow 2.21). Without it, AUTOTUNE means as many calls as cores.
    options.autotune.enabled = False
    return options


def _load(records_dir: str, manifest: Manifest) -> tuple[tf.Tensor, tf.Tensor]:
    """All images, uint8 [N, H, W, C], and labels, int32 [N], in the order of the shards."""
    batches = batches_in_order(records_dir, manifest)
    with tf.device("CPU:0"):
        images, labels = (tf.concat(parts, axis=0) for parts in zip(*batches, strict=True))
    return images, labels


def _from_memory(records_dir: str, manifest: Manifest, seed: int) -> tuple[_Epoch, _Read]:
    images, labels = _load(records_dir, manifest)

    def epoch_in_order(epoch: tf.Tensor) -> tf.data.Dataset:
        # Not index_shuffle, although it needs no memory: under neighbouring seeds, such
        # as those of two epochs, it gives nearly the same permutation (TensorFlow 2.21).
        indices = tf.range(manifest.num_images, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices(_permuted(indices, seed, epoch))

    return epoch_in_order, lambda rows: (tf.gather(images, rows), tf.gather(labels, rows))


def _from_shards(
    records_dir: str, manifest: Manifest, seed: int, buffer_images: int
) -> tuple[_Epoch, _Read]:
    paths = shard_paths(records_dir, manifest)
    return (
        lambda epoch: _shuffled_records(paths, seed, epoch, buffer_images),
        lambda records: tfrecord.parse_batch(records, manifest),
    )


def _shuffled_records(
    paths: list[str], seed: int, epoch: tf.Tensor, buffer_images: int
) -> tf.data.Dataset:
    # `shuffle` mixes TensorFlow's global seed into its own. This is called while
    # a graph is traced, so the line fixes the seed of that graph only; not to 0,
    # with which a `shuffle` whose seed is a tensor fails (TensorFlow 2.21).
    tf.compat.v1.set_random_seed(1)
    shuffle_seed = tf.random.stateless_uniform(
        [], _key(seed, epoch), minval=None, maxval=None, dtype=tf.int64, alg="philox"
    )
    return (
        tf.data.Dataset.from_tensor_slices(_permuted(tf.constant(paths), seed, epoch))
        .interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(len(paths), _SHARDS_READ_AT_ONCE),
            block_length=_RECORDS_IN_A_ROW,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .shuffle(buffer_images, seed=shuffle_seed, reshuffle_each_iteration=False)
    )


def _permuted(values: tf.Tensor, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_shuffle(values, _key(seed, epoch), alg="philox")


def _key(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), epoch])
