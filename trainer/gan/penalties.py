"""Gradient penalties on the discriminator, as pure functions to one penalty an example.

All of them look at the gradient of D's logit with respect to its image. It is
taken of the sum over the batch, which gives each example its own gradient as
long as no logit depends on another example's image; so D may have no BatchNorm.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from trainer.choices import PenaltyName
from trainer.gan.keyed_random import uniform

Critic = Callable[[tf.Tensor], tf.Tensor]
"""Images [B, H, W, C] float32 to logits [B] float32."""
Penalty = Callable[[Critic, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""Critic, real and fake images [B, H, W, C] and a key [2] int64 to penalties [B]."""


def squared_gradient_norms(critic: Critic, images: tf.Tensor) -> tf.Tensor:
    """||d critic(x) / dx||^2 at each image x of [B, H, W, C]: [B] float32."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = critic(images)
    gradients = tape.gradient(logits, images)
    return tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])


def gradient_norms(critic: Critic, images: tf.Tensor) -> tf.Tensor:
    """||d critic(x) / dx||, [B] float32; its own gradient is 0, not NaN, where the norm is 0."""
    squares = squared_gradient_norms(critic, images)
    positive = squares > 0.0
    # `where` alone would not do: the gradient of the branch not taken would still be NaN.
    return tf.where(positive, tf.sqrt(tf.where(positive, squares, 1.0)), 0.0)


def wgan_gp(critic: Critic, real: tf.Tensor, fake: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """(||gradient|| - 1)^2 at a random place between each real and fake image.

    Gulrajani et al. 2017, equation 3.
    """
    share = tf.cast(uniform(key, (real.shape[0], 1, 1, 1)), real.dtype)
    return tf.square(gradient_norms(critic, real + share * (fake - real)) - 1.0)


def dragan(critic: Critic, real: tf.Tensor, fake: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """(||gradient|| - 1)^2 near the real images, disturbed by up to half their deviation.

    Kodali et al. 2017, section 2.4, with the disturbance of the authors' code: uniform in
    each pixel, scaled by half the standard deviation of the batch and one share an image.
    """
    size = math.prod(real.shape[1:])
    numbers = tf.cast(uniform(key, (real.shape[0], size + 1)), real.dtype)
    share = numbers[:, :1, None, None]
    noise = tf.reshape(numbers[:, 1:], real.shape)
    points = real + share * 0.5 * tf.math.reduce_std(real) * noise
    return tf.square(gradient_norms(critic, points) - 1.0)


def r1(critic: Critic, real: tf.Tensor, fake: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """||gradient||^2 / 2 at the real images. Mescheder et al. 2018, equation 9."""
    return 0.5 * squared_gradient_norms(critic, real)


def r2(critic: Critic, real: tf.Tensor, fake: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """||gradient||^2 / 2 at the fake images. Mescheder et al. 2018, equation 10."""
    return 0.5 * squared_gradient_norms(critic, fake)


def r1_r2(critic: Critic, real: tf.Tensor, fake: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """The sum of both. Huang et al. 2024, section 2.2."""
    return r1(critic, real, fake, key) + r2(critic, real, fake, key)


PENALTIES: dict[PenaltyName, Penalty] = {
    "wgan_gp": wgan_gp,
    "r1": r1,
    "r2": r2,
    "r1_r2": r1_r2,
    "dragan": dragan,
}
