from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from trainer.cli.config_parsers import register_parsers
from trainer.config import Config

CONFIG = Path(__file__).parents[2] / "configs/image_folder_64.py"


def parsed(*overrides: str) -> Config:
    """The config that a command line gives."""
    register_parsers()
    arguments = ["main.py", f"--config={CONFIG}", *(f"--config.{text}" for text in overrides)]
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    values(arguments)
    return holder.value


@pytest.mark.parametrize(
    "text, names",
    [
        ("color,translation", ("color", "translation")),
        ("cutout", ("cutout",)),
        ("cutout, color,", ("cutout", "color")),
        ("('color', 'cutout')", ("color", "cutout")),
        ("()", ()),
        ("", ()),
    ],
)
def test_a_tuple_of_names(text: str, names: tuple[str, ...]) -> None:
    assert parsed().train.diff_augment == ("color", "translation", "cutout")
    assert parsed(f"train.diff_augment={text}").train.diff_augment == names


@pytest.mark.parametrize("text, numbers", [("64,32", (64, 32)), ("(64,)", (64,)), ("64", (64,))])
def test_a_tuple_of_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert parsed(f"model.generator_filters={text}").model.generator_filters == numbers


def test_what_belongs_to_no_tuple_is_left_for_the_check() -> None:
    assert parsed("model.generator_filters=(8,x)").model.generator_filters == ("(8,x)",)
    assert parsed("train.diff_augment=color,x-y").train.diff_augment == ("color,x-y",)


def test_names_of_a_literal_and_a_repeated_flag() -> None:
    config = parsed("loss.objective=hinge", "train.diff_augment=color", "train.diff_augment=cutout")
    assert config.loss.objective == "hinge"
    assert config.train.diff_augment == ("color", "cutout")
