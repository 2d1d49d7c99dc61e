import pytest

from trainer.cli.arguments import flags_without
from trainer.config import Config
from trainer.errors import UserError
from trainer.sweep.trials import trials


def test_every_combination_has_a_folder_flags_and_a_config() -> None:
    axes = ["seed=1,2", "config.model.generator_filters=128,96,64;64,32"]
    found = trials(Config(), axes, "runs/s")
    assert len(found) == 4
    assert found[1].flags == [
        "--run_dir=runs/s/seed=1_model.generator_filters=64-32",
        "--config.seed=1",
        "--config.model.generator_filters=64,32",
    ]
    assert (found[2].config.seed, found[2].config.model.generator_filters) == (2, (128, 96, 64))
    assert Config().model.generator_filters == (128, 96, 64)


@pytest.mark.parametrize(
    "axes, message",
    [
        (["seed"], "give FIELD=VALUE,VALUE"),
        (["seed=1,,2"], "give FIELD=VALUE,VALUE"),
        (["learning_rate=0.1,0.2"], "did you mean optimizer.generator.learning_rate"),
        (["seed=1,many"], "seed=many"),
        (["seed=1,-2"], "seed is -2; it must be at least 0"),
        (["model.generator_filters=8,4;8,x"], "whole numbers, such as"),
        (["model.resolution=28,32", "model.discriminator_filters=4;4,4,4"], "multiple of 8"),
        (["optimizer.generator.learning_rate=1e-3,0.001"], "come to the same run"),
        (["data.source=a/b,a-b"], "come to the same run or folder"),
        (["seed=1,2", "config.seed=3"], "names a field twice"),
        ([f"data.records_dir=a,{'b' * 250}"], "of which disks take 255"),
    ],
)
def test_what_is_no_sweep(axes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        trials(Config(), axes, "runs")


def test_flags_are_left_out_in_both_forms() -> None:
    arguments = ["--a=1", "--sweep=x=1", "--b", "2", "--sweep", "y=1,2", "--run_dir=r", "--c"]
    assert flags_without(arguments, ("sweep", "run_dir")) == ["--a=1", "--b", "2", "--c"]
