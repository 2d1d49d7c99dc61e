"""How far generated samples are from real ones: distances, scores and their uncertainty.

Pure functions of features, probabilities and labels that are already computed.
Features are arrays [N, D], one row a sample, of any real dtype; all arithmetic is
float64.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from trainer.errors import UserError
from trainer.evaluation.arrays import checked, row_blocks


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean [D], unbiased covariance [D, D] and number of the samples they are of."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


@dataclasses.dataclass(frozen=True)
class KernelDistance:
    """An estimate of the squared MMD, which may be below 0, and its standard error."""

    estimate: float
    standard_error: float


def check_enough(count: int, feature_size: int) -> None:
    """Checks that `count` samples can have a covariance of full rank, which is at most N - 1.

    Raises:
        UserError: they cannot; the Frechet distance would miss whole directions.
    """
    if count <= feature_size:
        raise UserError(
            f"{count} samples cannot fill a covariance of {feature_size} features: "
            f"set --config.evaluation.images={feature_size + 1} or more, or --count where that was "
            "given."
        )


def moments(features: np.ndarray) -> Moments:
    """Mean and covariance (divided by N - 1) of features [N, D].

    Raises:
        UserError: fewer than 2 samples, or a feature that is not finite.
    """
    features = checked(features, at_least=2)
    mean = features.mean(axis=0)
    centred = features - mean
    return Moments(mean, centred.T @ centred / (len(features) - 1), len(features))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), squared units of the features, at least 0.

    Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6.
    S1 S2 has the eigenvalues of the symmetric S1^(1/2) S2 S1^(1/2), whose roots
    need no complex numbers. The estimate from N samples is too large by about a
    constant / N: compare only values of the same counts.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * _roots(values)) @ vectors.T
    products = np.linalg.eigvalsh(root @ b.covariance @ root)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    shift = np.sum((a.mean - b.mean) ** 2)
    distance = shift + traces - 2.0 * _roots(products).sum()
    assert distance >= -1e-6 * (shift + traces), f"the Frechet distance is {distance}"
    return max(float(distance), 0.0)


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> KernelDistance:
    """KID: the unbiased squared MMD under the kernel k(x, y) = (x.y / D + 1)^3.

    Binkowski et al. 2018, "Demystifying MMD GANs", section 4; estimator: Gretton
    et al. 2012, "A Kernel Two-Sample Test", equation 3. It is taken over all pairs
    at once: the same expectation as the mean over subsets of the paper, with the
    smallest variance, and nothing to draw. Standard error: the jackknife over both
    samples (Arvesen 1969, "Jackknifing U-Statistics"); where the distributions are
    equal it is too large, by a factor of up to 1.4.

    Raises:
        UserError: fewer than 3 samples, or a feature that is not finite.
    """
    real, fake = checked(real, at_least=3), checked(fake, at_least=3)
    real_cross, fake_cross = _kernel_sums(real, fake)
    real_own, fake_own = _kernel_sums_of_others(real), _kernel_sums_of_others(fake)
    count, fakes = len(real), len(fake)
    estimate = (
        real_own.sum() / (count * (count - 1))
        + fake_own.sum() / (fakes * (fakes - 1))
        - 2.0 * real_cross.sum() / (count * fakes)
    )
    variance = _jackknife_variance(real_own, real_cross, fakes)
    variance += _jackknife_variance(fake_own, fake_cross, count)
    return KernelDistance(float(estimate), float(np.sqrt(variance)))


def classifier_score(probabilities: np.ndarray) -> float:
    """exp(E KL(p(y|x) || p(y))), from 1 to K; the Inception score with any classifier.

    Salimans et al. 2016, "Improved Techniques for Training GANs", section 4. Over
    all samples at once, not the mean over ten splits.

    Args:
        probabilities: [N, K], rows that sum to 1.

    Raises:
        UserError: a probability that is not finite.
        ValueError: rows that are no probabilities, such as logits.
    """
    p = checked(probabilities)
    if p.min() < 0.0 or abs(p.sum(axis=1) - 1.0).max() > 1e-3:
        raise ValueError("the rows are no probabilities: they are negative or do not sum to 1")
    # A probability of 0 adds 0; where one is above 0, so is the mean.
    ratios = np.divide(p, p.mean(axis=0), out=np.ones_like(p), where=p > 0.0)
    return float(np.exp((p * np.log(ratios)).sum(axis=1).mean()))


def class_divergence(labels_fake: np.ndarray, labels_real: np.ndarray, num_classes: int) -> float:
    """KL(class shares of fakes || class shares of reals), nats, at least 0.

    In this direction a class that the generator never draws adds 0 instead of
    infinity, and every class it may draw occurs in the real set: finite even for a
    collapsed generator, at most -log(smallest real share). Too large by about
    (K - 1) / 2N, as any such estimate from N samples.

    Args:
        labels_fake, labels_real: integers [N], in 0..num_classes - 1.
        num_classes: K.

    Raises:
        UserError: a label outside 0..K - 1, or one of the fakes that no real has.
    """
    fake, real = (_class_counts(x, num_classes) for x in (labels_fake, labels_real))
    drawn = np.flatnonzero(fake)
    for missing in drawn[real[drawn] == 0]:
        raise UserError(
            f"class {missing} occurs among the generated images but not among the "
            f"{real.sum()} real ones: compare with a larger real set."
        )
    shares = fake[drawn] / fake.sum()
    return max(float(np.sum(shares * np.log(shares / (real[drawn] / real.sum())))), 0.0)


def modes(
    labels_fake: np.ndarray, labels_real: np.ndarray, num_classes: int, share: float = 0.1
) -> int:
    """Number of real classes whose share among the fakes is at least `share` of the real one.

    Arguments and errors are those of `class_divergence`, but a class that no real
    has is not counted and is no error.
    """
    fake, real = (_class_counts(x, num_classes) for x in (labels_fake, labels_real))
    present = real > 0
    # One division of whole numbers: a class at exactly the limit is not lost to rounding.
    ratios = fake[present] * real.sum() / (real[present] * fake.sum())
    return int(np.count_nonzero(ratios >= share))


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    count: int,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Recentred percentile bootstrap: how the statistic varies with the samples drawn.

    Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 10 and
    13. A statistic that is too large for few samples (Frechet distance, class
    divergence) is so once more for their resamples; that bias, the mean over the
    resamples less the statistic, is subtracted. The interval is for the expected
    value at `count` samples, so compare it with that of as many reals. It may end
    a little beyond the statistic's range. Whatever `statistic` holds fixed, such
    as the real set, adds no width.

    Neighbours cannot be found anew in a resample, which repeats samples: resample
    per-sample values instead. Precision and density are means over the fakes;
    recall and coverage over the reals, so that their interval is for other reals
    and the same fakes. Near-duplicates come in pairs: their interval is too narrow
    by a factor of 1.4 or more. A share of 0 gets the interval (0, 0); the true
    one may be as large as 3 / count.

    Args:
        statistic: takes int64 indices [count] of samples, with repetitions.
        count: number of samples, N.
        seed: decides the resamples.
        resamples: calls of `statistic`; the Frechet distance of new moments takes
            some 10 ms at N = 10,000 and D = 64.
        level: of confidence, in (0, 1).

    Returns:
        The lower and the upper end.
    """
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(count, size=count)) for _ in range(resamples)])
    assert np.isfinite(values).all(), "the statistic of a resample is not finite"
    bias = values.mean() - statistic(np.arange(count))
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]) - bias
    return float(low), float(high)


def _roots(eigenvalues: np.ndarray) -> np.ndarray:
    """Roots of the eigenvalues of a matrix that has none below 0, but for rounding."""
    # An eigenvalue of 0 comes out as +-1e-16, and its root would be 1e-8.
    rounding = len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues.max()
    return np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0.0))


def _class_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if len(labels) == 0:
        raise UserError("there are no labels to count: raise --count.")
    for label in labels[(labels < 0) | (labels >= num_classes)]:
        raise UserError(
            f"label {label} is not in 0..{num_classes - 1}: use a set whose images are labelled."
        )
    return np.bincount(labels, minlength=num_classes)


def _kernel_sums(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row sums and column sums of the kernel matrix [len(a), len(b)]."""
    row_sums, column_sums = np.zeros(len(a)), np.zeros(len(b))
    for rows in row_blocks(len(a), len(b)):
        kernel = _cubic(a[rows] @ b.T, a.shape[1])
        row_sums[rows] = kernel.sum(axis=1)
        column_sums += kernel.sum(axis=0)
    return row_sums, column_sums


def _kernel_sums_of_others(features: np.ndarray) -> np.ndarray:
    """Row sums of the kernel matrix without its diagonal."""
    norms = np.einsum("nd,nd->n", features, features)
    return _kernel_sums(features, features)[0] - _cubic(norms, features.shape[1])


def _cubic(products: np.ndarray, feature_size: int) -> np.ndarray:
    base = products / feature_size + 1.0
    return base * base * base  # ten times as fast as ** 3


def _jackknife_variance(own: np.ndarray, cross: np.ndarray, others: int) -> float:
    """Variance of the squared MMD due to one of the two sets, by leaving out a sample at a time.

    Args:
        own: [N] kernel sums of each sample with the rest of its set.
        cross: [N] kernel sums of each with the other set.
        others: size of the other set.
    """
    count = len(own)
    left_out = (own.sum() - 2.0 * own) / ((count - 1) * (count - 2))
    left_out -= 2.0 * (cross.sum() - cross) / ((count - 1) * others)
    return (count - 1) * float(left_out.var())
