import itertools
import math

import numpy as np
import pytest
import scipy.linalg

from tests.helpers.examples import normal
from trainer.errors import UserError
from trainer.evaluation import arrays
from trainer.evaluation.statistics import (
    Moments,
    bootstrap_interval,
    check_enough,
    class_divergence,
    classifier_score,
    frechet_distance,
    kernel_distance,
    modes,
    moments,
)


def skewed(seed: int, count: int, size: int) -> np.ndarray:
    """Correlated features with a mean away from 0."""
    return normal(seed, count, size) @ normal(seed + 100, size, size) + normal(seed + 200, size)


def test_moments() -> None:
    features = skewed(1, 50, 4).astype(np.float32)
    found = moments(features)
    np.testing.assert_allclose(found.mean, [math.fsum(c) / 50 for c in features.T])
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(float), rowvar=False))
    assert found.count == 50
    assert found.covariance.dtype == np.float64


def test_frechet_distance_of_diagonal_gaussians() -> None:
    a = Moments(np.array([0.0, 1.0, 2.0]), np.diag([1.0, 4.0, 0.0]), 9)
    b = Moments(np.array([1.0, 1.0, 0.0]), np.diag([9.0, 0.25, 1.0]), 9)
    # With commuting covariances: |m1 - m2|^2 + |s1 - s2|^2 = 5 + (4 + 2.25 + 1).
    assert frechet_distance(a, b) == pytest.approx(12.25, rel=1e-12)


@pytest.mark.parametrize("size", [1, 5, 32])
def test_frechet_distance_agrees_with_the_root_of_the_product(size: int) -> None:
    a, b = moments(skewed(2, 200, size)), moments(skewed(3, 150, size))
    root = np.atleast_2d(scipy.linalg.sqrtm(a.covariance @ b.covariance))
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected.real, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected.real, rel=1e-9)


@pytest.mark.parametrize("rank", [0, 1, 3, 64])
def test_frechet_distance_of_equal_covariances_of_any_rank(rank: int) -> None:
    """The roots of what should be 0 would add 1e-7 of the trace."""
    features = normal(4, 100, rank) @ normal(5, rank, 64) + 7.0
    same = moments(features)
    assert 0.0 <= frechet_distance(same, same) <= 1e-10 * np.trace(same.covariance)
    assert frechet_distance(same, moments(features + 2.0)) == pytest.approx(256.0, rel=1e-10)


def test_frechet_distance_of_matrices_that_are_no_covariances_is_no_number() -> None:
    minus = Moments(np.zeros(2), np.diag([-1.0, -1.0]), 9)
    with pytest.raises(AssertionError, match="Frechet distance is -4"):
        frechet_distance(minus, minus)


def slow_kernel(x: np.ndarray, y: np.ndarray) -> float:
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1.0) ** 3


def slow_kernel_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Gretton et al. 2012, equation 3, one pair at a time."""
    n, m = len(real), len(fake)
    return (
        sum(slow_kernel(x, y) for x, y in itertools.permutations(real, 2)) / (n * (n - 1))
        + sum(slow_kernel(x, y) for x, y in itertools.permutations(fake, 2)) / (m * (m - 1))
        - 2 * sum(slow_kernel(x, y) for x in real for y in fake) / (n * m)
    )


def test_kernel_distance_and_its_jackknife_by_loops() -> None:
    real, fake = skewed(6, 7, 3), skewed(7, 5, 3)
    variance = 0.0
    for samples, distance_of in (
        (real, lambda rest: slow_kernel_distance(rest, fake)),
        (fake, lambda rest: slow_kernel_distance(real, rest)),
    ):
        left_out = [distance_of(np.delete(samples, i, axis=0)) for i in range(len(samples))]
        variance += (len(samples) - 1) * np.var(left_out)
    found = kernel_distance(real, fake)
    assert found.estimate == pytest.approx(slow_kernel_distance(real, fake), rel=1e-10)
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-8)


@pytest.mark.parametrize(("shift", "widest"), [(0.0, 1.5), (0.5, 1.1)])
def test_standard_error_of_the_kernel_distance(shift: float, widest: float) -> None:
    found = [
        kernel_distance(normal(2 * i, 100, 6), normal(2 * i + 1, 80, 6) + shift) for i in range(300)
    ]
    estimates = np.array([each.estimate for each in found])
    spread = estimates.std()
    stated = math.sqrt(np.mean([each.standard_error**2 for each in found]))
    assert 0.9 < stated / spread < widest
    if shift:
        assert all(each.estimate > 2 * each.standard_error for each in found)
    else:
        assert abs(estimates.mean()) < 3 * spread / math.sqrt(len(found))
        assert (estimates < 0).any()


def test_kernel_distance_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = skewed(8, 61, 5), skewed(9, 47, 5)
    whole = kernel_distance(real, fake)
    monkeypatch.setattr(arrays, "_BLOCK_NUMBERS", 200)
    blocks = kernel_distance(real, fake)
    assert blocks.estimate == pytest.approx(whole.estimate, rel=1e-9)
    assert blocks.standard_error == pytest.approx(whole.standard_error, rel=1e-9)


def test_row_blocks_cover_the_rows_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_BLOCK_NUMBERS", 20)
    for rows, columns in ((11, 6), (9, 3), (4, 50), (1, 1)):
        blocks = [range(rows)[block] for block in arrays.row_blocks(rows, columns)]
        assert [row for block in blocks for row in block] == list(range(rows))
        assert max(map(len, blocks)) == min(rows, max(1, 20 // columns))


def test_classifier_score() -> None:
    assert classifier_score(np.full([30, 10], 0.1)) == pytest.approx(1.0)
    assert classifier_score(np.eye(10)[np.arange(30) % 10]) == pytest.approx(10.0)
    # A collapsed generator that the classifier is sure of.
    assert classifier_score(np.eye(10)[np.zeros(30, int)]) == pytest.approx(1.0)
    # By hand: the mean is (1/2, 1/2), each row is 3/4 log(3/2) + 1/4 log(1/2) from it.
    score = classifier_score(np.array([[0.75, 0.25], [0.25, 0.75]], np.float32))
    assert score == pytest.approx(1.5**0.75 * 0.5**0.25, rel=1e-6)


@pytest.mark.parametrize("rows", [[[2.0, 1.0]], [[1.5, -0.5]], [[0.2, 0.2]]])
def test_classifier_score_takes_no_logits(rows: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="the rows are no probabilities"):
        classifier_score(np.array(rows))


def test_class_divergence() -> None:
    real = np.array([0, 0, 1, 2])
    assert class_divergence(np.array([2, 1, 0, 0]), real, 3) == 0.0
    # By hand: shares (1/2, 1/2, 0) against (1/2, 1/4, 1/4).
    assert class_divergence(np.array([0, 1]), real, 3) == pytest.approx(0.5 * math.log(2.0))
    assert class_divergence(np.array([1, 1]), real, 3) == pytest.approx(math.log(4.0))
    assert class_divergence(np.array([0]), real, 9) == pytest.approx(math.log(2.0))


def test_a_generated_class_that_no_real_has() -> None:
    with pytest.raises(UserError, match=r"class 3 occurs among the generated .* the 4 real"):
        class_divergence(np.array([0, 3]), np.array([0, 0, 1, 2]), 4)


def test_modes() -> None:
    real = np.repeat(np.arange(5), [10, 20, 30, 40, 0])
    assert modes(real, real, 5) == 4
    assert modes(np.zeros(50, int), real, 5) == 1
    # A tenth of the real shares is 1, 2, 3 and 4 of 100: exactly met, but for class 2.
    fake = np.repeat(np.arange(5), [1, 2, 2, 4, 91])
    assert modes(fake, real, 5) == 3
    assert modes(fake, real, 5, share=0.2) == 0
    assert modes(fake, real, 5, share=0.05) == 4


@pytest.mark.parametrize("measure", [class_divergence, modes])
def test_labels_that_are_none(measure: type) -> None:
    fine = np.array([0, 1])
    with pytest.raises(UserError, match=r"label -1 is not in 0\.\.1: use a set whose images"):
        measure(fine, np.array([0, -1]), 2)
    with pytest.raises(UserError, match=r"label 2 is not in 0\.\.1"):
        measure(np.array([2, 0]), fine, 2)
    with pytest.raises(UserError, match="no labels to count"):
        measure(np.array([], int), fine, 2)
    with pytest.raises(TypeError):
        measure(np.array([0.0, np.nan]), fine, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(bad: float) -> None:
    fine, broken = normal(10, 8, 3), normal(11, 8, 3)
    broken[5, 2] = bad
    for measure in (
        lambda: moments(broken),
        lambda: kernel_distance(fine, broken),
        lambda: kernel_distance(broken, fine),
        lambda: classifier_score(broken),
    ):
        with pytest.raises(UserError, match=f"feature 2 of sample 5 is {bad}: .*earlier checkp"):
            measure()


def test_too_few_samples() -> None:
    with pytest.raises(UserError, match="1 samples where 2 are needed: raise --count"):
        moments(normal(12, 1, 3))
    with pytest.raises(UserError, match="2 samples where 3 are needed"):
        kernel_distance(normal(12, 5, 3), normal(12, 2, 3))
    with pytest.raises(UserError, match="0 samples where 1 are needed"):
        classifier_score(np.zeros([0, 10]))


def test_check_enough_is_where_the_covariance_gets_its_full_rank() -> None:
    for count in (4, 5):
        assert np.linalg.matrix_rank(moments(normal(13, count, 5)).covariance) < 5
        with pytest.raises(
            UserError, match=f"^{count} samples .* 5 features: give --config.evaluation.images=6 or"
        ):
            check_enough(count, 5, "--config.evaluation.images")
    assert np.linalg.matrix_rank(moments(normal(13, 6, 5)).covariance) == 5
    check_enough(6, 5)


def test_bootstrap_interval_of_a_mean() -> None:
    values = normal(14, 400)
    low, high = bootstrap_interval(lambda rows: values[rows].mean(), 400, seed=1, resamples=2000)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    low, high = bootstrap_interval(lambda rows: values[rows].mean(), 400, 1, 2000, level=0.5)
    assert high - low == pytest.approx(2 * 0.674 * error, rel=0.1)


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(300):
        values = np.random.default_rng(seed).random(100) < 0.3
        low, high = bootstrap_interval(lambda rows, v=values: v[rows].mean(), 100, seed, 200)
        covered += low <= 0.3 <= high
    assert 0.90 < covered / 300 < 0.98


def test_bootstrap_interval_is_a_function_of_the_seed() -> None:
    values = normal(15, 50)

    def interval(seed: int) -> tuple[float, float]:
        return bootstrap_interval(lambda rows: np.median(values[rows]), 50, seed, resamples=50)

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


@pytest.mark.parametrize("shift", [0.1, 0.5])
def test_bootstrap_interval_of_a_frechet_distance(shift: float) -> None:
    """It covers the mean distance at this count; plain percentiles lie above it."""
    size, count, trials = 6, 150, 60
    reference = Moments(np.zeros(size), np.eye(size), 10**9)

    def distance(features: np.ndarray) -> float:
        return frechet_distance(reference, moments(features))

    expected = np.mean([distance(normal(i, count, size) + shift) for i in range(500)])
    covered = plain = 0
    for seed in range(trials):
        fake = normal(1000 + seed, count, size) + shift
        low, high = bootstrap_interval(lambda rows, f=fake: distance(f[rows]), count, seed, 100)
        assert low < distance(fake) < high
        covered += low <= expected <= high
        rng = np.random.default_rng(seed)
        resampled = [distance(fake[rng.integers(count, size=count)]) for _ in range(100)]
        bottom, top = np.quantile(resampled, [0.025, 0.975])
        plain += bottom <= expected <= top
    assert covered / trials > 0.88
    assert plain < covered
