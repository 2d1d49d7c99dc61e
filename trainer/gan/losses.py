"""Objectives as pure functions from logits to losses an example."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from trainer.choices import ObjectiveName


@dataclasses.dataclass(frozen=True)
class Objective:
    """What D and G minimise.

    D's loss is `half_weight` * (mean of the real half + mean of the fake half).
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    """(real logits [B], fake logits [B]) to the real and the fake half of D's loss, [B] each."""
    generator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    """(fake logits [B], real logits [B]) to G's loss, [B]."""
    half_weight: float = 1.0
    relativistic: bool = False
    """Whether G's loss depends on the real logits."""


def make_objective(name: ObjectiveName, real_label: float = 1.0) -> Objective:
    """The objective of a name; r and f are D's logits for real and fake images.

    Args:
        name: one of
            bce: the mean of both binary cross-entropies, G's non-saturating; the one that
                knows `real_label` (Salimans et al. 2016, section 3.4);
            non_saturating: softplus(-r) + softplus(f) against softplus(-f)
                (Goodfellow et al. 2014, section 3);
            minimax: the same D against -softplus(f), that is log(1 - D(G(z))) (equation 1);
            least_squares: ((r - 1)^2 + f^2) / 2 against (f - 1)^2 / 2
                (Mao et al. 2017, equation 9);
            hinge: max(0, 1 - r) + max(0, 1 + f) against -f (Miyato et al. 2018, equation 16);
            wasserstein: f - r against -f (Arjovsky et al. 2017, equation 3);
            relativistic_average: softplus(-(r - mean f)) + softplus(f - mean r) against the
                same with r and f exchanged, means over the group (Jolicoeur-Martineau 2018,
                equation 10);
            relativistic_paired: softplus(-(r - f)) against softplus(-(f - r)), each fake
                paired with one real image (Huang et al. 2024, "The GAN is dead; long live
                the GAN!", equation 2).
        real_label: bce's target for real images; below 1 it is one-sided label smoothing.
    """
    if name == "bce":
        return Objective(
            lambda real, fake: (
                binary_cross_entropy(real, real_label),
                binary_cross_entropy(fake, 0.0),
            ),
            lambda fake, _: binary_cross_entropy(fake, 1.0),
            half_weight=0.5,
        )
    return _OBJECTIVES[name]


def binary_cross_entropy(logits: tf.Tensor, label: float) -> tf.Tensor:
    """-label log(sigmoid(l)) - (1 - label) log(1 - sigmoid(l)), [B] float32, at least 0.

    It is stable for any logits, [B] float32; the target probability is in [0, 1].
    """
    labels = tf.fill(tf.shape(logits), label)
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def _logistic_halves(real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.nn.softplus(-real), tf.nn.softplus(fake)


def _average_halves(real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return (
        tf.nn.softplus(tf.reduce_mean(fake) - real),
        tf.nn.softplus(fake - tf.reduce_mean(real)),
    )


def _paired_halves(real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # One term for each pair: both halves show it, and each weighs a half.
    loss = tf.nn.softplus(fake - real)
    return loss, loss


_OBJECTIVES: dict[ObjectiveName, Objective] = {
    "non_saturating": Objective(_logistic_halves, lambda fake, _: tf.nn.softplus(-fake)),
    "minimax": Objective(_logistic_halves, lambda fake, _: -tf.nn.softplus(fake)),
    "least_squares": Objective(
        lambda real, fake: (tf.square(real - 1.0), tf.square(fake)),
        lambda fake, _: 0.5 * tf.square(fake - 1.0),
        half_weight=0.5,
    ),
    "hinge": Objective(
        lambda real, fake: (tf.nn.relu(1.0 - real), tf.nn.relu(1.0 + fake)),
        lambda fake, _: -fake,
    ),
    "wasserstein": Objective(lambda real, fake: (-real, fake), lambda fake, _: -fake),
    "relativistic_average": Objective(
        _average_halves,
        lambda fake, real: tf.add(*_average_halves(fake, real)),
        relativistic=True,
    ),
    "relativistic_paired": Objective(
        _paired_halves,
        lambda fake, real: tf.nn.softplus(real - fake),
        half_weight=0.5,
        relativistic=True,
    ),
}
