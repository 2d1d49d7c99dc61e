from tests.helpers.tiny import tiny_config
from trainer.run.schedule import Schedule


def test_steps_epochs_and_what_is_due() -> None:
    """20 images, 8 a step, 2 epochs: 5 steps; epoch 1 ends in step 3, epoch 2 in step 5."""
    times = Schedule(tiny_config(), num_images=20)
    assert times.total_steps == 5
    assert times.epoch_at(5) == 2.0
    assert [times.epoch_due(step, 1) for step in range(1, 6)] == [None, None, 1, None, 2]
    assert [times.epoch_due(step, 2) for step in range(1, 6)] == [None, None, None, None, 2]
    assert [times.epoch_due(step, 0) for step in range(1, 6)] == [None] * 5
    assert [times.is_due(step, 2) for step in range(1, 6)] == [False, True, False, True, True]


def test_the_last_step_ends_an_epoch_that_is_not_whole() -> None:
    config = tiny_config()
    config.train.steps = 4
    times = Schedule(config, num_images=20)
    assert [times.epoch_due(step, 5) for step in range(1, 5)] == [None, None, None, 2]


def test_an_epoch_is_a_pass_by_the_discriminator() -> None:
    config = tiny_config()
    config.train.discriminator_steps = 2
    assert Schedule(config, num_images=20).total_steps == 3


def test_a_call_ends_where_python_is_needed() -> None:
    config = tiny_config()  # logs every 2 steps, saves every 4
    config.train.steps_per_call, config.train.steps = 100, 7
    times = Schedule(config, num_images=20)
    ends, step = [], 0
    while step < times.total_steps:
        step = times.end_of_call(step)
        ends.append(step)
    assert ends == [2, 3, 4, 5, 6, 7]
