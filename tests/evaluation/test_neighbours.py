import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.helpers.examples import normal
from trainer.errors import UserError
from trainer.evaluation import arrays
from trainer.evaluation.neighbours import (
    ManifoldScores,
    duplicate_threshold,
    manifold_contributions,
    manifold_scores,
    memorised,
    near_duplicates,
    nearest,
    nearest_other,
)


def real_halves(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint sets of 898 scanned digits of 8x8 pixels."""
    order = np.random.default_rng(seed).permutation(1796)
    pixels = load_digits().data
    return pixels[order[:898]], pixels[order[898:]]


def slow_radii(points: np.ndarray, k: int) -> list[float]:
    return [
        sorted(math.dist(x, y) for j, y in enumerate(points) if j != i)[k - 1]
        for i, x in enumerate(points)
    ]


def slow_scores(real: np.ndarray, fake: np.ndarray, k: int) -> ManifoldScores:
    """The sums of the two papers, a pair at a time."""
    n, m = len(real), len(fake)
    real_radii, fake_radii = slow_radii(real, k), slow_radii(fake, k)

    def in_real_ball(i: int, j: int) -> bool:
        return math.dist(real[i], fake[j]) < real_radii[i]

    def in_fake_ball(i: int, j: int) -> bool:
        return math.dist(real[i], fake[j]) < fake_radii[j]

    return ManifoldScores(
        precision=sum(any(in_real_ball(i, j) for i in range(n)) for j in range(m)) / m,
        recall=sum(any(in_fake_ball(i, j) for j in range(m)) for i in range(n)) / n,
        density=sum(in_real_ball(i, j) for i in range(n) for j in range(m)) / (k * m),
        coverage=sum(any(in_real_ball(i, j) for j in range(m)) for i in range(n)) / n,
    )


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 1.0, 100.0])
def test_manifold_scores_by_loops(k: int, shift: float) -> None:
    real, fake = normal(1, 60, 3), 0.7 * normal(2, 50, 3) + shift
    found = dataclasses.astuple(manifold_scores(real, fake, k))
    assert found == pytest.approx(dataclasses.astuple(slow_scores(real, fake, k)), abs=1e-12)
    assert (shift == 100.0) == (found == (0.0, 0.0, 0.0, 0.0))


def test_manifold_contributions() -> None:
    # On a line, k = 1: the radii of the reals are 1, 1 and 8, those of the fakes 1, 1 and 6.
    real, fake = np.array([[0.0], [1.0], [9.0]]), np.array([[0.5], [1.5], [7.5]])
    found = manifold_contributions(real, fake, k=1)
    assert found.density.tolist() == [2.0, 2.0, 1.0]
    for each in (found.precision, found.coverage, found.recall):
        assert each.tolist() == [1.0, 1.0, 1.0]
    assert found.scores() == ManifoldScores(1.0, 1.0, 5 / 3, 1.0)
    away = manifold_contributions(real, fake + 10.0, k=1)
    assert away.precision.tolist() == [1.0, 1.0, 0.0]
    assert away.density.tolist() == [1.0, 1.0, 0.0]
    assert away.coverage.tolist() == [0.0, 0.0, 1.0]
    assert away.recall.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_generator_that_copies_all_real_samples(offset: float) -> None:
    """Every radius ends at a copy, which lies outside: no rounding may put it inside."""
    real = normal(3, 300, 16) + offset
    copies = real[np.random.default_rng(4).permutation(300)]
    assert manifold_scores(real, copies) == ManifoldScores(1.0, 1.0, 1.0, 1.0)


def test_scores_of_real_samples_are_those_of_the_theory() -> None:
    found = [manifold_scores(*real_halves(seed)) for seed in range(3)]
    # Naeem et al. 2020, lemmas 1 and 2: E density = 1, E coverage is near 1 - 2^-k.
    assert np.mean([each.density for each in found]) == pytest.approx(1.0, abs=0.05)
    assert np.mean([each.coverage for each in found]) == pytest.approx(1 - 2**-5, abs=0.02)


def test_small_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(6, 61, 7), normal(7, 47, 7) + 0.3
    found = []
    for block_numbers in (2**22, 200, 1):
        monkeypatch.setattr(arrays, "_BLOCK_NUMBERS", block_numbers)
        arrays_found = (*nearest(fake, real, 4), nearest_other(real, 3))
        found.append(([each.tolist() for each in arrays_found], manifold_scores(real, fake)))
    assert found[0] == found[1] == found[2]


def test_nearest_by_loops() -> None:
    samples, references = normal(8, 9, 4), normal(9, 30, 4)
    indices, distances = nearest(samples.astype(np.float32), references, 3)
    assert indices.shape == distances.shape == (9, 3)
    for sample, found, at in zip(samples.astype(np.float32), indices, distances, strict=True):
        gaps = [math.dist(sample, reference) for reference in references]
        assert found.tolist() == sorted(range(30), key=gaps.__getitem__)[:3]
        assert at.tolist() == pytest.approx(sorted(gaps)[:3], rel=1e-12)


def test_nearest_of_equal_references_is_the_first() -> None:
    references = np.repeat(normal(10, 5, 3), 2, axis=0) + 1e5
    indices, distances = nearest(references, references, 2)
    assert indices.tolist() == [[i, i + 1] for i in (0, 2, 4, 6, 8) for _ in range(2)]
    assert (distances == 0.0).all()


def test_near_duplicates() -> None:
    # Gaps to the nearest other: 1, 1, 2, 0, 0, 50.
    points = np.array([[0.0], [1.0], [3.0], [50.0], [50.0], [100.0]])
    for threshold, count in ((0.0, 2), (0.99, 2), (1.0, 4), (2.0, 5), (50.0, 6)):
        assert near_duplicates(points, threshold) == count / 6
    # Copies are found at any threshold, also far from the origin.
    assert near_duplicates(np.repeat(normal(12, 10, 5) + 1e6, 3, axis=0), 0.0) == 1.0


def test_memorised() -> None:
    train = np.array([[0.0], [10.0], [20.0]])
    fake = np.array([[0.5], [12.0], [20.0], [27.0]])
    for threshold, count in ((0.0, 1), (0.5, 2), (2.0, 3)):
        assert memorised(fake, train, threshold) == count / 4
    assert memorised(train + 0.1, train, 0.2) == 1.0


def test_duplicate_threshold() -> None:
    # Gaps to the nearest other: 1, 1, 2, 3, ..., 100; 1% of the way is between the first two.
    points = np.cumsum(np.arange(101.0))[:, None]
    assert duplicate_threshold(points) == 1.0
    assert near_duplicates(points, duplicate_threshold(points)) == 2 / 101


def test_real_samples_are_near_duplicates_as_often_as_nominal() -> None:
    duplicates, copies = [], []
    for seed in range(40):
        real, held_out = real_halves(seed)
        threshold = duplicate_threshold(real)
        duplicates.append(near_duplicates(held_out, threshold))
        copies.append(memorised(held_out, real, threshold))
    assert 0.008 < np.mean(duplicates) < 0.015
    assert 0.008 < np.mean(copies) < 0.015
    # A generator that adds a little noise to a tenth of its training images.
    noisy = real[:90] + np.random.default_rng(0).normal(0.0, 0.5, [90, 64])
    assert memorised(np.concatenate([noisy, held_out[:808]]), real, threshold) > 0.1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("measure", [manifold_scores, nearest])
def test_features_that_are_not_finite(measure: Callable[..., object], bad: float) -> None:
    fine, broken = normal(13, 8, 3), normal(14, 8, 3)
    broken[5, 2] = bad
    for pair in ((fine, broken), (broken, fine)):
        with pytest.raises(UserError, match=f"feature 2 of sample 5 is {bad}"):
            measure(*pair)
    with pytest.raises(UserError, match=f"feature 2 of sample 5 is {bad}"):
        nearest_other(broken)


def test_too_few_samples() -> None:
    few, enough = normal(15, 5, 3), normal(16, 6, 3)
    for pair in ((few, enough), (enough, few)):
        with pytest.raises(UserError, match="5 samples where 6 are needed: raise --count"):
            manifold_scores(*pair)
    with pytest.raises(UserError, match="1 samples where 2 are needed"):
        near_duplicates(few[:1], 1.0)
    with pytest.raises(UserError, match="5 samples where 6 are needed"):
        nearest(enough, few, 6)
