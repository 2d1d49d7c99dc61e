"""Objectives as pure functions from logits to one loss an example."""

import tensorflow as tf


def binary_cross_entropy(logits: tf.Tensor, label: float) -> tf.Tensor:
    """-label log(sigmoid(l)) - (1 - label) log(1 - sigmoid(l)), stable for any logit.

    Args:
        logits: [B] float32.
        label: the target probability, in [0, 1].

    Returns:
        [B] float32, at least 0.
    """
    labels = tf.fill(tf.shape(logits), label)
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def discriminator_real_loss(real_logits: tf.Tensor, real_label: float) -> tf.Tensor:
    """D's loss on real images, [B]; a label below 1 is one-sided label smoothing.

    Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.4.
    """
    return binary_cross_entropy(real_logits, real_label)


def discriminator_fake_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """D's loss on generated images, [B]."""
    return binary_cross_entropy(fake_logits, 0.0)


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """G's non-saturating loss -log D(G(z)), [B]. Goodfellow et al. 2014, section 3."""
    return binary_cross_entropy(fake_logits, 1.0)
