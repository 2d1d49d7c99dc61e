"""The candidates of the input bench that read by TensorFlow: ours, and tfds."""

import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from bench.reader import Reader
from trainer.data.pipeline import batches_in_order, replica_batches
from trainer.data.tfrecord import read_manifest

_IN_MEMORY_MIB = 2048
_SHUFFLE_BUFFER_IMAGES = 20_000
_TFDS_NAME = "alike"


def ours(records_dir: str, batch_size: int, in_memory: bool) -> Reader:
    """The reader of a training on one replica."""
    return Reader(
        replica_batches(
            records_dir,
            read_manifest(records_dir),
            seed=0,
            start_step=0,
            global_batch_size=batch_size,
            num_replicas=1,
            first_replica=0,
            local_replicas=1,
            memory_budget_mib=_IN_MEMORY_MIB if in_memory else 0,
            shuffle_buffer_images=_SHUFFLE_BUFFER_IMAGES,
        )
    )


def tfds_reader(records_dir: str, tfds_dir: str, batch_size: int, in_memory: bool) -> Reader:
    """The pipeline of the tfds guide to performance, on an equal set of tfds's own making."""
    manifest = read_manifest(records_dir)
    if not os.path.exists(os.path.join(tfds_dir, _TFDS_NAME)):
        _store(records_dir, tfds_dir)
    builder = tfds.builder(_TFDS_NAME, data_dir=tfds_dir)
    # tfds would keep a set of this size in memory by itself.
    reading = tfds.ReadConfig(try_autocache=False)
    dataset = builder.as_dataset(split="train", shuffle_files=True, read_config=reading)
    if in_memory:
        dataset = dataset.cache()
    dataset = dataset.shuffle(_SHUFFLE_BUFFER_IMAGES).repeat().batch(batch_size)
    whole_set = manifest.num_images // batch_size + 1 if in_memory else 0
    return Reader(dataset.prefetch(tf.data.AUTOTUNE), whole_set)


def _store(records_dir: str, tfds_dir: str) -> None:
    manifest = read_manifest(records_dir)
    images = batches_in_order(records_dir, manifest).unbatch()
    tfds.dataset_builders.store_as_tfds_dataset(
        name=_TFDS_NAME,
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=manifest.image_shape, dtype=np.uint8),
                "label": tfds.features.Scalar(dtype=np.int32),
            }
        ),
        split_datasets={"train": images.map(lambda image, label: {"image": image, "label": label})},
        data_dir=tfds_dir,
    )
