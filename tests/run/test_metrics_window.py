import math

import pytest
import tensorflow as tf

from trainer.errors import DivergedError
from trainer.run.metrics_window import MetricsWindow


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_means_and_speed() -> None:
    clock = Clock()
    interval = MetricsWindow(clock)
    for step, loss in ((7, 1.0), (8, 2.0)):
        with interval.waiting_for_input():
            clock.seconds += 0.5
        clock.seconds += 1.5
        interval.add([step], {"loss": tf.constant(loss)})
    assert interval.means() == {"loss": 1.5}
    assert interval.speed(10) == {
        "speed/images_per_second": 5.0,
        "speed/input_wait_fraction": 0.25,
        "speed/input_milliseconds_per_step": 500.0,
        "speed/compute_milliseconds_per_step": 1500.0,
    }
    interval.restart()
    assert interval.steps == []


def test_a_step_that_compiled_counts_for_the_means_only() -> None:
    clock = Clock()
    interval = MetricsWindow(clock)
    clock.seconds += 30
    interval.add([1], {"loss": tf.constant(1.0)})
    assert interval.restart_clock() == 30
    assert interval.speed(10) == {}
    clock.seconds += 2
    interval.add([2, 3], {"loss": tf.constant([3.0, 5.0])})
    assert interval.means() == {"loss": 3.0}
    # Two steps of one call, which waited for their input where it cannot be seen.
    assert interval.speed(10) == {"speed/images_per_second": 10.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_named_with_its_step(bad: float) -> None:
    interval = MetricsWindow(Clock())
    for step, loss in ((7, 1.0), (8, bad), (9, bad)):
        interval.add([step], {"fine": tf.constant(0.0), "loss": tf.constant(loss)})
    with pytest.raises(DivergedError, match=f"loss is {bad} at step 8"):
        interval.means()
