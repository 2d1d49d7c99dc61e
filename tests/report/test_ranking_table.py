import statistics
from pathlib import Path

from tests.helpers.made_up_run import FID, Page, log_line, make_run
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import changed
from trainer.report.page import write_report


def test_several_runs_are_in_the_order_of_their_last_evaluations(tmp_path: Path) -> None:
    scores = {("old", 1): (9.0, 5.0), ("new", 1): (1.0, 4.0), ("new", 2): (6.0, 3.0)}
    runs = [
        make_run(
            tmp_path / f"{name}{seed}",
            [log_line(10 * epoch, **{FID: of}) for epoch, of in enumerate(found, start=1)],
            config=changed(
                tiny_config(), {"seed": seed, "loss.real_label": 0.9 if name == "old" else 1.0}
            ),
        )
        for (name, seed), found in scores.items()
    ]
    write_report(runs, str(tmp_path / "report.html"))
    page = Page(tmp_path / "report.html")
    note = page.texts("p", "note")[0]
    assert "By fid_tiny_1a2b3c4d (lower is better)" in note and "last evaluation" in note
    head, first, second = page.rows()[:3]
    assert head[:4] == ["runs", "epoch", "fid_tiny_1a2b3c4d", "best fid_tiny_1a2b3c4d"]
    last, best = statistics.stdev([4, 3]), statistics.stdev([1, 3])
    assert first[:4] == ["new* (2 seeds)", "2", f"3.5 ± {last:.2g}", f"2 ± {best:.2g}"]
    assert second[:4] == ["old1", "2", "5", "5"]
    # The colours are those of the curves, in the order in which the runs were given.
    swatches = [swatch.classes[1] for swatch in page.all("i", "swatch")]
    assert swatches[:2] == ["c1", "c0"]


def test_a_run_alone_and_runs_without_evaluations_have_no_order(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, [log_line(10)]) for name in "ab"]
    runs.append(make_run(tmp_path / "c", [log_line(10, **{FID: 1.0})]))
    for chosen in (runs[:2], runs[2:]):
        write_report(chosen, str(tmp_path / "report.html"))
        assert "Best first" not in Page(tmp_path / "report.html").texts("h2")
