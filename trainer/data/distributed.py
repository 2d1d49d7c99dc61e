"""The batches of a run on its strategy."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.config import Config
from trainer.data.pipeline import naming_damaged_records, replica_batches
from trainer.data.tfrecord import Manifest


def distributed_batches(
    config: Config, strategy: tf.distribute.Strategy, manifest: Manifest, first_batch: int
) -> Iterator[Any]:
    """Iterates over global batches, from number `first_batch` on, without end.

    Returns:
        A distributed iterator over images, [B / replicas, H, W, C] uint8, and labels,
        [B / replicas] int32, on each replica.
    """

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
        return replica_batches(
            config.data.records_dir,
            manifest,
            seed=config.seed,
            start_step=first_batch,
            global_batch_size=config.train.global_batch_size,
            num_replicas=context.num_replicas_in_sync,
            first_replica=context.input_pipeline_id * local_replicas,
            local_replicas=local_replicas,
            memory_budget_mib=config.data.memory_budget_mib,
            shuffle_buffer_images=config.data.shuffle_buffer_images,
        )

    with naming_damaged_records(config.data.records_dir):
        return iter(strategy.distribute_datasets_from_function(of_worker))
