import math

import numpy as np
import tensorflow as tf

from trainer.gan import losses

LOGITS = tf.constant([0.0, 2.0, -3.0, 100.0, -100.0])


def test_values_computed_by_hand() -> None:
    # -log(sigmoid(2)) = log(1 + e^-2)
    hand = [math.log(2), math.log1p(math.exp(-2)), math.log1p(math.exp(3)), 0.0, 100.0]
    np.testing.assert_allclose(losses.generator_loss(LOGITS), hand, rtol=1e-6, atol=1e-12)
    hand = [math.log(2), math.log1p(math.exp(2)), math.log1p(math.exp(-3)), 100.0, 0.0]
    np.testing.assert_allclose(losses.discriminator_fake_loss(LOGITS), hand, rtol=1e-6, atol=1e-12)


def test_label_smoothing_is_the_weighted_sum() -> None:
    smooth = losses.discriminator_real_loss(LOGITS, 0.9).numpy()
    certain = losses.discriminator_real_loss(LOGITS, 1.0).numpy()
    fake = losses.discriminator_fake_loss(LOGITS).numpy()
    np.testing.assert_allclose(smooth, 0.9 * certain + 0.1 * fake, rtol=1e-6)


def test_smoothed_loss_is_least_where_the_probability_is_the_label() -> None:
    logits = np.linspace(-5, 5, 10001, dtype=np.float32)
    best = logits[np.argmin(losses.discriminator_real_loss(tf.constant(logits), 0.9))]
    np.testing.assert_allclose(1 / (1 + math.exp(-best)), 0.9, atol=1e-3)
