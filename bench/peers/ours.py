"""Our own step, as trainer/train.py runs it."""

import numpy as np
import tensorflow as tf

from bench.peers.peer import Arrays, Peer
from trainer.config import Config
from trainer.gan.build import build_gan
from trainer.gan.penalties import PENALTIES
from trainer.gan.step import AdversarialStep
from trainer.run.compiler import decided
from trainer.strategy import make_strategy, sum_dtype


def on_this_machine(config: Config, images: np.ndarray, logical_devices: int = 0) -> "Ours":
    """On the strategy that `--strategy=auto --logical_devices=N` gives."""
    return Ours(config, images, make_strategy("auto", logical_devices))


class Ours(Peer):
    """`AdversarialStep` on a strategy."""

    def __init__(
        self, config: Config, images: np.ndarray, strategy: tf.distribute.Strategy
    ) -> None:
        """`images` uint8 [B, R, R, C]: those of every update of D."""
        config = decided(config, strategy, kept=None)
        self.loss = config.loss
        with strategy.scope():
            self.gan = build_gan(config, total_steps=10**9)
        self.train_step = AdversarialStep(self.gan, config, strategy, sum_dtype(strategy))
        shares = np.split(images, strategy.num_replicas_in_sync)
        labels = np.arange(len(shares[0]), dtype=np.int32) % max(1, config.model.num_classes)

        def share(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            return tf.constant(shares[context.replica_id_in_sync_group])

        batch = (
            strategy.experimental_distribute_values_from_function(share),
            strategy.experimental_distribute_values_from_function(lambda _: tf.constant(labels)),
        )
        self.batches = [batch] * config.train.discriminator_steps

    def load(self, generator: Arrays, discriminator: Arrays) -> None:
        """Takes over initial weights."""
        for model, arrays in (
            (self.gan.generator, generator),
            (self.gan.discriminator, discriminator),
        ):
            for variable, array in zip(model.trainable_variables, arrays, strict=True):
                variable.assign(array)

    def weights(self) -> tuple[Arrays, Arrays]:
        """Copies of G's and D's trainable weights."""
        generator, discriminator = (
            [tf.convert_to_tensor(v.value).numpy() for v in model.trainable_variables]
            for model in (self.gan.generator, self.gan.discriminator)
        )
        return generator, discriminator

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """G in training mode."""
        return self.gan.generator(tf.constant(latents), training=True).numpy()

    def discriminate(self, images: np.ndarray) -> np.ndarray:
        """D without dropout."""
        return self.gan.discriminator(tf.constant(images), training=True).numpy()

    def penalty(self, images: np.ndarray) -> float:
        """By the trainer's own function, on eager D without dropout."""
        if self.loss.penalty == "none":
            return 0.0

        def critic(points: tf.Tensor) -> tf.Tensor:
            return self.gan.discriminator(points, training=True)

        given, any_key = tf.constant(images), tf.zeros([2], tf.int64)
        penalties = PENALTIES[self.loss.penalty](critic, given, given, any_key)
        factor = self.loss.penalty_weight * self.loss.penalty_every_steps
        return factor * float(tf.reduce_mean(penalties))

    def step(self) -> None:
        """One step."""
        metrics, _ = self.train_step(self.batches, tf.constant(0.0))
        self.last_losses = metrics["loss/generator"], metrics["loss/discriminator"]
