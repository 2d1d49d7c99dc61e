"""Nearest neighbours among real and generated samples, and the scores that rest on them.

Features are arrays [N, D], one row a sample, of any real dtype; all arithmetic is
float64. Distances are Euclidean, in the units of the features.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from trainer.evaluation.arrays import checked, row_blocks

_ROUNDING = 1e-12  # of a squared distance by matrix product, relative to the largest
_DUPLICATE_QUANTILE = 0.01
_THRESHOLD_SAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class ManifoldContributions:
    """What each sample adds to the four scores, which are the means of the arrays.

    Precision, recall and coverage are in [0, 1]; density is at least 0, about 1 for real data.

    Attributes:
        precision: float64 [number of fakes], 0 or 1.
        recall: float64 [number of reals], 0 or 1.
        density: float64 [number of fakes], multiples of 1 / k.
        coverage: float64 [number of reals], 0 or 1.
    """

    precision: np.ndarray
    recall: np.ndarray
    density: np.ndarray
    coverage: np.ndarray


def manifold_contributions(real: np.ndarray, fake: np.ndarray, k: int = 5) -> ManifoldContributions:
    """How fakes lie in the balls around reals, and reals in the balls around fakes.

    The ball of a sample reaches to its k-th nearest neighbour in its own set, not
    counting itself; its surface is outside, as in the code of Naeem et al.
    Precision: fakes in any ball of a real. Recall: reals in any ball of a fake.
    Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing
    Generative Models", equations 1 and 2. Density: balls of reals around a fake,
    divided by k. Coverage: reals whose ball has a fake. Naeem et al. 2020,
    "Reliable Fidelity and Diversity Metrics for Generative Models", section 3.

    Raises:
        UserError: no more than k samples, or a feature that is not finite.
    """
    real, fake = checked(real, at_least=k + 1), checked(fake, at_least=k + 1)
    real_squares, fake_squares = (nearest_other(x, k) ** 2 for x in (real, fake))
    balls = np.zeros(len(fake), np.int64)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, squares in _squared_distances(real, fake):
        # A fake that copies a neighbour lies on the surface, whatever the rounding.
        squares += _ROUNDING * squares.max()
        inside = squares < real_squares[rows, None]
        balls += np.count_nonzero(inside, axis=0)
        covered[rows] = inside.any(axis=1)
        recalled[rows] = (squares < fake_squares).any(axis=1)
    return ManifoldContributions(
        precision=(balls > 0).astype(np.float64),
        recall=recalled.astype(np.float64),
        density=balls / k,
        coverage=covered.astype(np.float64),
    )


def nearest(
    samples: np.ndarray, references: np.ndarray, count: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest references of every sample, the nearest first.

    Returns:
        Indices into the references, int64, and distances, float64, both [N, count].

    Raises:
        UserError: fewer than `count` references, or a feature that is not finite.
    """
    return _nearest(checked(samples), checked(references, at_least=count), count)


def nearest_other(features: np.ndarray, k: int = 1) -> np.ndarray:
    """Distance of every sample to the k-th nearest other of its set, float64 [N].

    Raises:
        UserError: no more than k samples, or a feature that is not finite.
    """
    features = checked(features, at_least=k + 1)
    return _nearest(features, features, k, others=True)[1][:, -1]


def duplicate_threshold(real: np.ndarray) -> float:
    """The distance within which 1% of the real samples have another real one.

    So of as many real samples 1% are near-duplicates, and of real samples that are not in `real`
    1% seem memorised; what exceeds it is the generator's. Neighbours come nearer as a set grows:
    for near-duplicates, give as many reals as there are fakes; for memorised ones, the training
    set. Not 0.1%, which of 10,000 samples is some five pairs: from one real set to another that
    share varies by more than half, that of 1% by a fifth (MNIST, 64 components).
    Of a large set, the first 10,000 are asked for their neighbours among all.

    Raises:
        UserError: fewer than 2 samples, or a feature that is not finite.
    """
    asked = checked(real, at_least=2)[:_THRESHOLD_SAMPLES]
    # The nearest of all is the sample itself, or a copy of it.
    distances = nearest(asked, real, count=2)[1][:, 1]
    return float(np.quantile(distances, _DUPLICATE_QUANTILE))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of the squared distances [len(a), len(b)], up to rounding."""
    centre = b.mean(axis=0)  # a common offset would only add to the rounding
    a, b = a - centre, b - centre
    a_norms, b_norms = (np.einsum("nd,nd->n", x, x) for x in (a, b))
    for rows in row_blocks(len(a), len(b)):
        squares = a[rows] @ b.T
        squares *= -2.0
        squares += a_norms[rows, None]
        squares += b_norms
        yield rows, squares


def _nearest(
    samples: np.ndarray, references: np.ndarray, count: int, *, others: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest`; `others` leaves out the pairs of equal index."""
    indices = np.zeros([len(samples), count], np.int64)
    distances = np.zeros([len(samples), count])
    for rows, squares in _squared_distances(samples, references):
        if others:
            np.fill_diagonal(squares[:, rows], np.inf)
        found = np.sort(np.argpartition(squares, count - 1, axis=1)[:, :count], axis=1)
        # Matrix products leave a rest where two samples are equal; differences do not.
        exact = np.linalg.norm(samples[rows, None] - references[found], axis=2)
        order = np.argsort(exact, axis=1, kind="stable")
        indices[rows] = np.take_along_axis(found, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
    return indices, distances
