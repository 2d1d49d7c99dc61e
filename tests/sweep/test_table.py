from trainer.report.ranking import Candidate, Result
from trainer.sweep.table import table

FID = "quality/fid_x"


def result(run: str, last: float, best: float) -> Result:
    return Result(
        run, {FID: last, "step": 20, "epoch": 2, "loss/generator": 2}, {FID: best, "step": 10}
    )


def test_the_table_says_what_ranks_and_has_mean_and_spread_over_seeds() -> None:
    candidates = [
        Candidate(("1",), [result("1-1", 7, 7)]),
        Candidate(("2",), [result("2-1", 4, 3), result("2-2", 5.5, 5)]),
    ]
    text = table(candidates, ["rate"], "fid")
    said, *lines = text.splitlines()
    assert "Best first by fid_x (lower is better)" in said and "last checkpoint" in said
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[1:5]]
    assert rows[0] == [
        *("rate", "runs", "epoch", "fid_x", "best fid_x"),
        *("loss/generator", "loss/discriminator"),
    ]
    # Of 4 and 5.5: mean 4.75, deviation sqrt(2 * 0.75^2) = 1.06.
    assert rows[2] == ["2", "2", "2", "4.75 +- 1.1", "4 +- 1.4", "2", "-"]
    assert rows[3] == ["1", "1", "2", "7", "7", "2", "-"]
    assert "Best run: 2-1, fid_x 4 at step 20." in text
    assert "ungs of" not in text
    assert "Nothing ranks these runs" in table(candidates, ["rate"], "coverage")


def test_with_rungs_the_highest_comes_first_whatever_its_measure() -> None:
    candidates = [
        Candidate(("1",), [result("1-1", 4, 4)], rung=1),
        Candidate(("2",), [result("2-1", 7, 7)], rung=2),
    ]
    text = table(candidates, ["rate"], "fid", ["2", "20"])
    assert "Rungs of 2 and 20 epochs: the best third of each, rounded up, went on" in text
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines()[2:6]]
    assert rows[0] == ["rate", "rung", "runs"]
    assert rows[2:] == [["2", "2 of 2", "1"], ["1", "1 of 2", "1"]]
    assert "Best run: 2-1, fid_x 7 at step 20." in text
