"""What the candidates of the step bench have in common, and how they are shown to be equal.

All start from our initial weights. Before anything is timed, each tells its `Facts`: images,
logits and penalty of given latents and images, which must be ours; the size of the first update
of each network; and the mean losses of the first steps.
"""

import abc
import dataclasses
import time
from typing import Any

import numpy as np

Arrays = list[np.ndarray]
"""Trainable weights of a network in the order and layout of ours, Keras's: kernels
[K, K, in, out], transposed [K, K, out, in], dense [in, out]."""

FIRST_UPDATES = 4
"""Updates of D; soon after, small batches part by their noise alone."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What two implementations of one task must agree on; G first where there are two."""

    weights: tuple[int, int]  # trainable numbers
    images: np.ndarray  # [B, R, R, 1], G in training mode on the given latents
    logits: np.ndarray  # [B], D without dropout on the given images
    penalty: float  # weighted, of the given images as real and as generated ones
    first_update: tuple[float, float]  # mean absolute change of the weights in the first step
    losses: tuple[float, float]  # means over the first steps, D's with the penalty


class Peer(abc.ABC):
    """One framework's way of training the task on one resident batch.

    Attributes:
        last_losses: G's and D's scalar of the framework in the last step.
    """

    last_losses: tuple[Any, Any]

    @abc.abstractmethod
    def load(self, generator: Arrays, discriminator: Arrays) -> None:
        """Takes over initial weights."""

    @abc.abstractmethod
    def weights(self) -> tuple[Arrays, Arrays]:
        """Copies of G's and D's trainable weights, in any layout."""

    @abc.abstractmethod
    def draw(self, latents: np.ndarray) -> np.ndarray:
        """G in training mode: [B, latent_dim] to [B, R, R, 1], float32."""

    @abc.abstractmethod
    def discriminate(self, images: np.ndarray) -> np.ndarray:
        """D without dropout: [B, R, R, 1] to logits [B], float32."""

    def penalty(self, images: np.ndarray) -> float:
        """The weighted penalty of images as real and as generated ones; 0: the task has none."""
        return 0.0

    @abc.abstractmethod
    def step(self) -> None:
        """Starts one step."""

    def losses(self) -> tuple[float, float]:
        """G's and D's loss in the last step; waits until it is done."""
        return float(self.last_losses[0]), float(self.last_losses[1])

    def run(self, steps: int) -> float:
        """Seconds of some steps."""
        started = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.losses()
        return time.perf_counter() - started

    def facts(
        self,
        generator: Arrays,
        discriminator: Arrays,
        latents: np.ndarray,
        images: np.ndarray,
        steps: int = FIRST_UPDATES,
    ) -> Facts:
        """Starts from the given weights and tells what comes of them in some steps."""
        self.load(generator, discriminator)
        drawn, logits, penalty = self.draw(latents), self.discriminate(images), self.penalty(images)
        before = self.weights()
        losses = []
        for number in range(steps):
            self.step()
            losses.append(self.losses())
            if number == 0:
                after = self.weights()
        changes = [mean_change(old, new) for old, new in zip(before, after, strict=True)]
        mean_losses = np.mean(losses, axis=0)
        return Facts(
            weights=(_count(before[0]), _count(before[1])),
            images=drawn,
            logits=logits,
            penalty=penalty,
            first_update=(changes[0], changes[1]),
            losses=(float(mean_losses[0]), float(mean_losses[1])),
        )


def mean_change(old: Arrays, new: Arrays) -> float:
    """Mean absolute difference over all numbers of two lists of arrays."""
    total = sum(float(np.abs(b - a).sum(dtype=np.float64)) for a, b in zip(old, new, strict=True))
    return total / _count(old)


def disagreements(found: Facts, ours: Facts, tolerance: float) -> list[str]:
    """What a peer does not share with us, in words; none where it trains the same task.

    Args:
        found: of the peer.
        ours: of our step.
        tolerance: absolute and relative, of images, logits and penalty.
    """
    if found.weights != ours.weights:
        return [f"has {found.weights} trainable weights, not {ours.weights}"]
    words = []
    for name, values, wanted in (
        ("images", found.images, ours.images),
        ("logits", found.logits, ours.logits),
    ):
        if values.shape != wanted.shape:
            words.append(f"{name} are {values.shape}, not {wanted.shape}")
        elif not np.allclose(values, wanted, rtol=tolerance, atol=tolerance):
            words.append(f"{name} differ by up to {np.abs(values - wanted).max():.2g}")
    if not np.isclose(found.penalty, ours.penalty, rtol=tolerance, atol=tolerance):
        words.append(f"the penalty is {found.penalty:.3g}, ours {ours.penalty:.3g}")
    # The noise differs from here on. RMSprop's and Adam's first update hardly depends on the
    # gradient's size, but on the learning rate and the decay it does, and on whether it was made
    # at all.
    for network, change, wanted_change in zip(
        "GD", found.first_update, ours.first_update, strict=True
    ):
        if not 0.7 < change / wanted_change < 1.4:
            words.append(f"{network}'s first update is {change / wanted_change:.2f} of ours")
    for network, loss, wanted_loss in zip("GD", found.losses, ours.losses, strict=True):
        if not abs(loss - wanted_loss) < 0.1 * max(1.0, abs(wanted_loss)):
            words.append(f"{network}'s first losses are {loss:.3f}, ours {wanted_loss:.3f}")
    return words


def _count(arrays: Arrays) -> int:
    return sum(array.size for array in arrays)
