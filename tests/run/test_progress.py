import pytest

from trainer.run.progress import Progress


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = [0.0]
    progress = Progress(total_steps=110, start=10, clock=lambda: seconds[0])
    seconds[0] = 30.0  # compiling, which the time left must leave out
    progress.steps_done(11)
    progress.report(11, 0.1, {"speed/first_step_seconds": 30.0})
    seconds[0] = 32.0
    progress.steps_done(15)
    seconds[0] = 40.0
    progress.steps_done(31)
    values = {"loss/generator": 0.5, "loss/discriminator": 0.25, "speed/images_per_second": 64.4}
    progress.report(31, 0.31, values)
    assert capsys.readouterr().out.splitlines() == [
        "step 11/110  epoch 0.10  ready after 30.0 s",
        # 20 steps took 10 s, and 79 are left.
        "about 00:39 to the end, step 110",
        "step 31/110  epoch 0.31  G 0.500  D 0.250  images/s 64  left 00:39",
    ]


def test_workers_other_than_the_chief_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total_steps=2, start=0, visible=False)
    progress.steps_done(1)
    progress.report(1, 0.5, {})
    progress.close()
    assert capsys.readouterr() == ("", "")
