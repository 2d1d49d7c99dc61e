"""The generator as a SavedModel that needs nothing of this project."""

import os
import shutil
import tempfile

import tensorflow as tf

from trainer.gan.networks import Generator
from trainer.sampling.sampler import BLOCK_IMAGES, IN_TURN, Sampler
from trainer.storage.bucket import is_gs, upload_saved_model
from trainer.storage.disk import naming_the_writing
from trainer.storage.files import (
    move_saved_model,
    naming_the_output,
    remove_abandoned,
    temporary_name,
)


def export_generator(generator: Generator, output: str) -> None:
    """Writes a SavedModel with two signatures, in place of an earlier one in the folder.

    `serving_default`: `latents` [N, latent_dim] float32, and `labels` [N] int32 of a
    conditional model, to `images` [N, H, W, C] float32 in [-1, 1]. `sample`: `seed` and
    `count`, int64 scalars, and `label` of a conditional model (-1: each class in turn), to
    `images` [count, H, W, C] uint8, bit for bit those of `--mode=sample`.

    Raises:
        UserError: it cannot be written there; an earlier one stays where the disk has no room.
        DiskError: the disk refuses.
        StorageOutageError: Google Cloud Storage does not answer.
    """
    # Only the variables, not the Keras model, which would add a signature of its own.
    module = tf.Module()
    module.weights = [variable.value for variable in generator.variables]
    # Traced here: what fails from now on is a matter of files.
    signatures = {name: f.get_concrete_function() for name, f in _signatures(generator).items()}
    if is_gs(output):
        with tempfile.TemporaryDirectory() as folder:
            with naming_the_writing(folder):
                tf.saved_model.save(module, folder, signatures=signatures)
            upload_saved_model(folder, output)
        return
    folder = temporary_name(output.rstrip("/"))
    with naming_the_output(output, "--output"):
        try:
            remove_abandoned(output)
            os.makedirs(output, exist_ok=True)
            with naming_the_writing(output):
                tf.saved_model.save(module, folder, signatures=signatures)
            move_saved_model(folder, output)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _signatures(generator: Generator) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    sampler = Sampler(generator)

    def from_latents(latents: tf.Tensor, labels: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {"images": generator(latents, labels)}

    def sample(
        seed: tf.Tensor, count: tf.Tensor, label: int | tf.Tensor = IN_TURN
    ) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            lambda block: sampler.block(seed, block, tf.cast(label, tf.int64)),
            tf.range((count + BLOCK_IMAGES - 1) // BLOCK_IMAGES),
            fn_output_signature=tf.TensorSpec([BLOCK_IMAGES, *generator.image_shape], tf.uint8),
        )
        return {"images": tf.reshape(images, [-1, *generator.image_shape])[:count]}

    latents = [tf.TensorSpec([None, generator.latent_dim], tf.float32, name="latents")]
    numbers = [tf.TensorSpec([], tf.int64, name=name) for name in ("seed", "count")]
    if generator.num_classes:
        latents.append(tf.TensorSpec([None], tf.int32, name="labels"))
        numbers.append(tf.TensorSpec([], tf.int64, name="label"))
    return {
        "serving_default": tf.function(from_latents, input_signature=latents, autograph=False),
        "sample": tf.function(sample, input_signature=numbers, autograph=False),
    }
