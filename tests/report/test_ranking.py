import math
import statistics
from typing import Any

import pytest

from trainer.report.ranking import Candidate, Ranking, Result, result_of

FID, KID = "quality/fid_x", "quality/kid_x"


def evaluations(*scores: float | None) -> list[dict[str, Any]]:
    """Lines of a run that was evaluated after each epoch of ten steps."""
    return [
        line
        for epoch, score in enumerate(scores, start=1)
        for line in (
            {"step": 10 * epoch, "epoch": epoch, "loss/generator": 2.0 * epoch},
            {"step": 10 * epoch, "epoch": epoch, FID: score, KID: 0.5},
        )
    ]


def candidate(name: str, *results: Result, rung: int = 0) -> Candidate:
    return Candidate((name,), results, rung)


def test_a_result_has_the_last_and_the_best_evaluation() -> None:
    found = result_of("run", evaluations(9.0, 4.0, 7.0), "fid")
    assert found.last == {"step": 30, "epoch": 3, FID: 7, KID: 0.5, "loss/generator": 6}
    assert found.best == {"step": 20, "epoch": 2, FID: 4, KID: 0.5}
    assert result_of("run", evaluations(9.0, 4.0, 7.0), "coverage").best == {}
    assert result_of("run", [], "fid") == Result("run", {}, {})


def test_a_result_of_the_first_epochs_ends_with_their_evaluation() -> None:
    # 2.1: where the images are no multiple of the batch, the last step goes beyond the epoch.
    lines = evaluations(9.0, 4.0, 3.0)
    lines[3]["epoch"] = 2.1
    found = result_of("run", lines, "fid", epochs=2)
    assert (found.last["step"], found.last[FID], found.last["loss/generator"]) == (20, 4, 4)
    # A run that patience ended before.
    assert result_of("run", evaluations(9.0, 4.0), "fid", epochs=5).last[FID] == 4


def test_candidates_are_ordered_by_the_mean_of_their_last_evaluations() -> None:
    good = [result_of(f"g{i}", evaluations(*of), "fid") for i, of in enumerate([(9, 4), (1, 7)])]
    bad = result_of("b", evaluations(2.0, 6.0), "fid")
    ranking = Ranking([candidate("bad", bad), candidate("good", *good)], "fid")
    assert [each.name for each in ranking.candidates] == [("good",), ("bad",)]
    assert ranking.heads == [
        *("epoch", "fid_x", "best fid_x", "loss/generator", "loss/discriminator")
    ]
    cells = ranking.cells(ranking.candidates[0])
    assert cells[1] == pytest.approx((5.5, statistics.stdev([4, 7])))
    assert cells[2] == pytest.approx((2.5, statistics.stdev([4, 1])))
    assert (cells[3], cells[4]) == ((4.0, None), None)
    assert ranking.cells(ranking.candidates[1])[:3] == [(2, None), (6, None), (2, None)]


def test_a_measure_that_should_be_high_and_higher_rungs_come_first() -> None:
    low, high = ({"step": 1, "epoch": 1, "quality/coverage_x": value} for value in (0.2, 0.8))
    results = [result_of(name, [line], "coverage") for name, line in (("l", low), ("h", high))]
    names = [candidate("low", results[0]), candidate("high", results[1])]
    assert Ranking(names, "coverage").candidates == names[::-1]
    names[0] = candidate("low", results[0], rung=1)
    assert Ranking(names, "coverage").candidates == names


@pytest.mark.parametrize("score", [math.nan, None, math.inf])
def test_what_has_no_number_comes_last(score: float | None) -> None:
    found = [result_of("run", evaluations(1.0, value), "fid") for value in (score, 99.0)]
    ranking = Ranking([candidate("none", *found), candidate("some", found[1])], "fid")
    assert [each.name for each in ranking.candidates] == [("some",), ("none",)]
    assert ranking.score(found) == math.inf and found[0].best[FID] == 1


def test_without_evaluations_nothing_ranks() -> None:
    results = [
        result_of(name, [{"step": 1, "epoch": 1, "loss/generator": 1}], "fid") for name in "ab"
    ]
    ranking = Ranking([candidate("a", *results)], "fid")
    assert not ranking.by and ranking.heads == ["loss/generator", "loss/discriminator"]
