import json
from pathlib import Path

from trainer.report.ranking import ranking


def test_the_ranking_has_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    runs = {}
    for rate, seed, scores in (("1", 1, [9, 7]), ("2", 1, [4, 8]), ("2", 2, [6, 5.5])):
        run = tmp_path / f"{rate}-{seed}"
        run.mkdir()
        lines = [
            {
                "step": step,
                "epoch": step,
                "loss/generator": step,
                "quality/fid_x": fid,
                "quality/kid_x": 0,
            }
            for step, fid in enumerate(scores, start=1)
        ]
        (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        runs[str(run)] = (("seed", str(seed)), ("rate", rate))
    text = ranking(runs, "fid")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:6]]
    assert rows[0] == ["rate", "runs", "fid_x", "loss/generator", "loss/discriminator"]
    # Of the best evaluations, 4 and 5.5: mean 4.75, deviation sqrt(2 * 0.75^2) = 1.06.
    assert rows[2:] == [["2", "2", "4.75 +- 1.1", "2 +- 0", "-"], ["1", "1", "7", "2", "-"]]
    assert f"Best run: {tmp_path}/2-1, fid_x 4 at step 1." in text
    assert "Nothing ranks these runs" in ranking(runs, "coverage")
