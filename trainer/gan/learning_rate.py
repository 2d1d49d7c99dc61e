"""Learning rates as a function of the updates done."""

import math

import keras
import tensorflow as tf

from trainer.choices import LearningRateSchedule


class WarmupThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Grows from zero, then stays or falls along a line or half a cosine."""

    def __init__(
        self,
        learning_rate: float,
        warmup_steps: int = 0,
        schedule: LearningRateSchedule = "constant",
        decay_steps: int = 0,
        final_share: float = 0.0,
    ) -> None:
        """States the curve; all steps are updates of one network.

        Args:
            learning_rate: the largest value.
            warmup_steps: update 1 of n has 1 / n of it, update n all of it; 0: all at once.
            schedule: `constant`, `linear` or `cosine` (Loshchilov and Hutter 2017, equation 5).
            decay_steps: of the fall, after the warm-up; then it stays.
            final_share: share of `learning_rate` that stays.
        """
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.schedule = schedule
        self.decay_steps = decay_steps
        self.final_share = final_share

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The learning rate, scalar float32, of the update after `step` updates."""
        done = tf.cast(step, tf.float32)
        share = tf.minimum((done + 1.0) / max(self.warmup_steps, 1), 1.0)
        if self.schedule != "constant":
            fallen = tf.clip_by_value((done - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
            if self.schedule == "cosine":
                fallen = (1.0 - tf.cos(math.pi * fallen)) / 2.0
            share *= 1.0 - (1.0 - self.final_share) * fallen
        return self.learning_rate * share
