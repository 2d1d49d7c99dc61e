"""The task in plain Keras and TensorFlow: `fit`, a tf.function, a loop of `train_on_batch`.

The tf.function alone knows R1, the moving average and bfloat16.
"""

import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from bench.peers.peer import Arrays, Peer
from bench.task import BLOCK_KERNEL, OUTPUT_KERNEL, STEM_KERNEL, Task

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def build_generator(task: Task) -> keras.Sequential:
    """[B, latent_dim] to [B, R, R, 1]."""
    first, *others = task.generator_filters
    model = keras.Sequential([keras.Input((task.latent_dim,))])
    if task.generator_dense_units:
        model.add(layers.Dense(task.generator_dense_units))
        model.add(layers.LeakyReLU(task.leaky_relu_slope))
    model.add(layers.Dense(task.base**2 * first))
    model.add(layers.Reshape((task.base, task.base, first)))
    if task.generator_dense_units:
        model.add(layers.BatchNormalization(momentum=task.batch_norm_momentum))
        model.add(layers.LeakyReLU(task.leaky_relu_slope))
    for filters in others:
        model.add(layers.Conv2DTranspose(filters, BLOCK_KERNEL, 2, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=task.batch_norm_momentum))
        model.add(layers.LeakyReLU(task.leaky_relu_slope))
    model.add(layers.Conv2D(1, OUTPUT_KERNEL, padding="same", activation="tanh"))
    return model


def build_discriminator(task: Task) -> keras.Sequential:
    """[B, R, R, 1] to logits [B, 1]."""
    model = keras.Sequential([keras.Input((task.resolution, task.resolution, 1))])
    if task.discriminator_stem_filters:
        model.add(layers.Conv2D(task.discriminator_stem_filters, STEM_KERNEL, padding="same"))
        model.add(layers.LeakyReLU(task.leaky_relu_slope))
    for filters in task.discriminator_filters:
        model.add(layers.Conv2D(filters, BLOCK_KERNEL, 2, padding="same"))
        model.add(layers.LeakyReLU(task.leaky_relu_slope))
    model.add(layers.Dropout(task.dropout_rate))
    model.add(layers.Flatten())
    if task.discriminator_dense_units:
        model.add(layers.Dense(task.discriminator_dense_units))
        model.add(layers.LeakyReLU(task.leaky_relu_slope))
    model.add(layers.Dense(1))
    return model


class _KerasPeer(Peer):
    """What the three have in common."""

    def __init__(self, task: Task, images: np.ndarray) -> None:
        self.task = task
        keras.config.set_dtype_policy(_POLICIES[task.precision])
        self.generator, self.discriminator = build_generator(task), build_discriminator(task)
        keras.config.set_dtype_policy("float32")
        self.generator_optimizer = _optimizer(task, task.generator_learning_rate)
        self.discriminator_optimizer = _optimizer(task, task.discriminator_learning_rate)
        self.bce = keras.losses.BinaryCrossentropy(from_logits=True)
        self.real = images.astype(np.float32) / 127.5 - 1.0

    def load(self, generator: Arrays, discriminator: Arrays) -> None:
        """Takes over initial weights."""
        self.discriminator.trainable = True
        for model, arrays in ((self.generator, generator), (self.discriminator, discriminator)):
            for variable, array in zip(model.trainable_variables, arrays, strict=True):
                variable.assign(array)

    def weights(self) -> tuple[Arrays, Arrays]:
        """Copies of G's and D's trainable weights."""
        self.discriminator.trainable = True
        generator, discriminator = (
            [variable.numpy() for variable in model.trainable_variables]
            for model in (self.generator, self.discriminator)
        )
        return generator, discriminator

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """G in training mode."""
        return _float32(self.generator(latents, training=True)).numpy()

    def discriminate(self, images: np.ndarray) -> np.ndarray:
        """D without dropout."""
        return _float32(self.discriminator(images, training=False)).numpy()[:, 0]


class TfFunctionPeer(_KerasPeer):
    """A custom loop around one tf.function, without XLA."""

    def __init__(self, task: Task, images: np.ndarray) -> None:
        super().__init__(task, images)
        self.real = tf.constant(self.real)
        self.updates = 0
        if task.ema_half_life_images:
            self.average = build_generator(task)
            self.average.set_weights(self.generator.get_weights())

    def penalty(self, images: np.ndarray) -> float:
        """R1 of images."""
        return float(self._r1(tf.constant(images))) if self.task.penalty == "r1" else 0.0

    def step(self) -> None:
        """One step."""
        self.last_losses = self._train_step(self.real, self.task.has_penalty(self.updates))
        self.updates += 1

    @tf.function
    def _train_step(self, real: tf.Tensor, with_penalty: bool) -> tuple[tf.Tensor, tf.Tensor]:
        shape = (self.task.batch_size, self.task.latent_dim)
        fake = _float32(self.generator(tf.random.normal(shape), training=True))
        with tf.GradientTape() as tape:
            both = tf.concat([real, fake], axis=0)
            logits = _float32(self.discriminator(both, training=True))
            real_logits, fake_logits = tf.split(logits, 2)
            real_labels = tf.fill(tf.shape(real_logits), self.task.real_label)
            discriminator_loss = self.task.half_weight * (
                self.bce(real_labels, real_logits)
                + self.bce(tf.zeros_like(fake_logits), fake_logits)
            )
            if with_penalty:
                discriminator_loss += self._r1(real)
        variables = self.discriminator.trainable_variables
        gradients = tape.gradient(discriminator_loss, variables)
        self.discriminator_optimizer.apply_gradients(zip(gradients, variables, strict=True))

        with tf.GradientTape() as tape:
            drawn = self.generator(tf.random.normal(shape), training=True)
            logits = _float32(self.discriminator(drawn, training=True))
            generator_loss = self.bce(tf.ones_like(logits), logits)
        variables = self.generator.trainable_variables
        gradients = tape.gradient(generator_loss, variables)
        self.generator_optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if self.task.ema_half_life_images:
            decay = self.task.ema_decay
            pairs = zip(self.average.variables, self.generator.variables, strict=True)
            for average, variable in pairs:
                average.assign(decay * average + (1.0 - decay) * variable)
        return generator_loss, discriminator_loss

    def _r1(self, real: tf.Tensor) -> tf.Tensor:
        """Times its weight, scalar."""
        with tf.GradientTape() as tape:
            tape.watch(real)
            logits = self.discriminator(real, training=True)
        squares = tf.reduce_sum(tf.square(tape.gradient(logits, real)), axis=[1, 2, 3])
        return self.task.penalty_factor * 0.5 * tf.reduce_mean(squares)


class Gan(keras.Model):
    """A model with a `train_step` of its own, as keras.io's examples of GANs are."""

    def __init__(
        self,
        task: Task,
        generator: keras.Model,
        discriminator: keras.Model,
    ) -> None:
        super().__init__()
        self.task = task
        self.generator, self.discriminator = generator, discriminator
        self.seeds = keras.random.SeedGenerator(0)

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        bce: keras.losses.Loss,
    ) -> None:
        """Takes the optimizers and the loss; the step is compiled by XLA."""
        super().compile(jit_compile=True)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.bce = bce

    def train_step(self, real: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step."""
        size = self.task.batch_size
        shape = (size, self.task.latent_dim)
        fake = self.generator(keras.random.normal(shape, seed=self.seeds), training=True)
        labels = tf.concat([tf.fill((size, 1), self.task.real_label), tf.zeros((size, 1))], axis=0)
        with tf.GradientTape() as tape:
            logits = self.discriminator(tf.concat([real, fake], axis=0), training=True)
            discriminator_loss = self.bce(labels, logits)
        variables = self.discriminator.trainable_variables
        gradients = tape.gradient(discriminator_loss, variables)
        self.discriminator_optimizer.apply(gradients, variables)

        with tf.GradientTape() as tape:
            drawn = self.generator(keras.random.normal(shape, seed=self.seeds), training=True)
            generator_loss = self.bce(tf.ones((size, 1)), self.discriminator(drawn, training=True))
        variables = self.generator.trainable_variables
        gradients = tape.gradient(generator_loss, variables)
        self.generator_optimizer.apply(gradients, variables)
        return {"generator": generator_loss, "discriminator": discriminator_loss}


class _Clock(keras.callbacks.Callback):
    """Seconds of the steps alone: what `fit` does once a call is left out."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Starts with the first step."""
        if batch == 0:
            self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reads the losses, so that the step is done."""
        assert logs is not None
        self.losses = float(logs["generator"]), float(logs["discriminator"])
        self.seconds = time.perf_counter() - self.started


class KerasFitPeer(_KerasPeer):
    """`fit` with a custom `train_step` under XLA."""

    def __init__(self, task: Task, images: np.ndarray) -> None:
        super().__init__(task, images)
        self.model = Gan(task, self.generator, self.discriminator)
        self.model.compile(self.generator_optimizer, self.discriminator_optimizer, self.bce)
        self.batches = tf.data.Dataset.from_tensors(self.real).repeat().prefetch(2)
        self.clock = _Clock()

    def step(self) -> None:
        """One step."""
        self.run(1)

    def losses(self) -> tuple[float, float]:
        """G's and D's loss in the last step."""
        return self.clock.losses

    def run(self, steps: int) -> float:
        """Seconds of some steps."""
        self.model.fit(
            self.batches, epochs=1, steps_per_epoch=steps, verbose=0, callbacks=[self.clock]
        )
        return self.clock.seconds


class TrainOnBatchPeer(_KerasPeer):
    """The tutorials' loop: D by itself, then G and a frozen D as one combined model.

    D's images are drawn by `predict_on_batch`, so with BatchNorm's moving statistics, which the
    other candidates do not do: this is how the loop is written.
    """

    def __init__(self, task: Task, images: np.ndarray) -> None:
        super().__init__(task, images)
        self.random = np.random.default_rng(0)
        halves = np.array([task.real_label, 0.0], np.float32)
        self.labels = np.repeat(halves, task.batch_size)[:, None]
        self.ones = np.ones((task.batch_size, 1), np.float32)
        self.discriminator.compile(self.discriminator_optimizer, self.bce)
        self.discriminator.trainable = False
        self.combined = keras.Sequential([self.generator, self.discriminator])
        self.combined.compile(self.generator_optimizer, self.bce)

    def step(self) -> None:
        """One step."""
        fake = self.generator.predict_on_batch(self._latents())
        # Keras 3 reads `trainable` when a model's step is traced, not when it is compiled.
        self.discriminator.trainable = True
        of_discriminator = self.discriminator.train_on_batch(
            np.concatenate([self.real, fake]), self.labels
        )
        self.discriminator.trainable = False
        of_generator = self.combined.train_on_batch(self._latents(), self.ones)
        self.last_losses = float(of_generator), float(of_discriminator)

    def losses(self) -> tuple[float, float]:
        """G's and D's loss in the last step; Keras returns means since the last reset."""
        self.discriminator.reset_metrics()
        self.combined.reset_metrics()
        return self.last_losses

    def _latents(self) -> np.ndarray:
        shape = (self.task.batch_size, self.task.latent_dim)
        return self.random.standard_normal(shape, np.float32)


def _optimizer(task: Task, learning_rate: float) -> keras.optimizers.Optimizer:
    if task.optimizer == "adam":
        return keras.optimizers.Adam(learning_rate, task.beta_1, task.beta_2)
    return keras.optimizers.RMSprop(learning_rate)


def _float32(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(values, tf.float32)
