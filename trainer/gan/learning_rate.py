"""Learning rates as a function of the updates done."""

import math

import keras
import tensorflow as tf

from trainer.config_sections import OptimizerConfig


class WarmupThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Grows from zero, then stays or falls along a line or half a cosine.

    Of n steps of warm-up, update 1 has 1 / n of the learning rate and update n all of it. Cosine:
    Loshchilov and Hutter 2017, equation 5.
    """

    def __init__(self, config: OptimizerConfig, total_updates: int) -> None:
        """`total_updates`: of the network in the whole run; where `decay_steps` is 0, the last
        that has a part of the fall left."""
        self.config = config
        self.decay_steps = config.decay_steps or max(total_updates - config.warmup_steps, 1)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The learning rate, scalar float32, of the update after `step` updates."""
        config, done = self.config, tf.cast(step, tf.float32)
        share = tf.minimum((done + 1.0) / max(config.warmup_steps, 1), 1.0)
        if config.schedule != "constant":
            fallen = tf.clip_by_value((done - config.warmup_steps) / self.decay_steps, 0.0, 1.0)
            if config.schedule == "cosine":
                fallen = (1.0 - tf.cos(math.pi * fallen)) / 2.0
            share *= 1.0 - (1.0 - config.final_share) * fallen
        return config.learning_rate * share
