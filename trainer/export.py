"""The generator as a SavedModel that needs nothing of this project."""

import keras
import tensorflow as tf

from trainer.sample import BLOCK_IMAGES, Sampler


class ExportedGenerator(tf.Module):
    """The signatures of the SavedModel."""

    def __init__(self, generator: keras.Sequential) -> None:
        super().__init__()
        self.sampler = Sampler(generator)
        self.from_latents = tf.function(
            self._from_latents,
            input_signature=[
                tf.TensorSpec([None, self.sampler.latent_dim], tf.float32, name="latents")
            ],
        )

    def _from_latents(self, latents: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": self.sampler.generator(latents, training=False)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.int64, name="seed"),
            tf.TensorSpec([], tf.int64, name="count"),
        ]
    )
    def sample(self, seed: tf.Tensor, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same images, bit for bit, as `--mode=sample` with that seed."""
        blocks = tf.range((count + BLOCK_IMAGES - 1) // BLOCK_IMAGES)
        shape = self.sampler.generator.output_shape[1:]
        images = tf.map_fn(
            lambda block: self.sampler.block(seed, block),
            blocks,
            fn_output_signature=tf.TensorSpec([BLOCK_IMAGES, *shape], tf.uint8),
        )
        return {"images": tf.reshape(images, [-1, *shape])[:count]}


def export_generator(generator: keras.Sequential, output: str) -> None:
    """Writes a SavedModel with two signatures.

    `serving_default`: `latents` [N, latent_dim] float32 to `images` [N, H, W, C]
    float32 in [-1, 1]. `sample`: `seed` and `count`, int64 scalars, to `images`
    [count, H, W, C] uint8.

    Args:
        generator: a trained generator.
        output: a folder; what it holds of an earlier export is replaced.
    """
    module = ExportedGenerator(generator)
    tf.saved_model.save(
        module,
        output,
        signatures={"serving_default": module.from_latents, "sample": module.sample},
    )
