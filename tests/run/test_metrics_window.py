import math

import pytest
import tensorflow as tf

from trainer.errors import DivergedError
from trainer.run.metrics_window import MetricsWindow
from trainer.run.phases import Phases, scalars_of


def test_means_and_speed() -> None:
    window = MetricsWindow()
    for step, loss in ((7, 1.0), (8, 2.0)):
        window.add([step], {"loss": tf.constant(loss)}, timed=True)
    assert window.means() == {"loss": 1.5}
    assert window.speed(10, {"input": 1.0, "steps": 2.5, "grids": 0.5, "evaluation": 7.0}) == {
        "speed/images_per_second": 5.0,
        "speed/input_wait_fraction": 0.25,
        "speed/input_milliseconds_per_step": 500.0,
        "speed/compute_milliseconds_per_step": 1500.0,
    }


def test_a_step_that_compiled_counts_for_the_means_only() -> None:
    window = MetricsWindow()
    window.add([1], {"loss": tf.constant(1.0)}, timed=False)
    assert window.speed(10, {"steps": 0.0}) == {}
    window.add([2, 3], {"loss": tf.constant([3.0, 5.0])}, timed=True)
    assert window.means() == {"loss": 3.0}
    # Two steps of one call, which waited for their input where it cannot be seen.
    assert window.speed(10, {"steps": 2.0}) == {"speed/images_per_second": 10.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_named_with_its_step(bad: float) -> None:
    window = MetricsWindow()
    for step, loss in ((7, 1.0), (8, bad), (9, bad)):
        window.add([step], {"fine": tf.constant(0.0), "loss": tf.constant(loss)}, timed=True)
    with pytest.raises(DivergedError, match=f"loss is {bad} at step 8"):
        window.means()


def test_every_moment_belongs_to_one_phase() -> None:
    seconds = [0.0]
    phases = Phases("imports", lambda: seconds[0])
    seconds[0] = 1
    phases.enter("steps")
    seconds[0] = 3
    with phases.phase("evaluation"):
        seconds[0] = 6
        with phases.phase("checkpoints"):
            seconds[0] = 10
    seconds[0] = 15
    taken = phases.take()
    assert taken == {"imports": 1, "steps": 7, "evaluation": 3, "checkpoints": 4}
    assert scalars_of(taken) == {
        "speed/imports_seconds": 1,
        "speed/steps_seconds": 7,
        "speed/checkpoints_seconds": 4,
    }
    seconds[0] = 16
    assert phases.take() == {"steps": 1}
