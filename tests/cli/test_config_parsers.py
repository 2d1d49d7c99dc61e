import pytest

from configs.image_folder_64 import get_config
from trainer.cli.arguments import with_values
from trainer.config import Config


def parsed(*overrides: tuple[str, str]) -> Config:
    return with_values(get_config(), overrides)


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
    assert parsed(("train.diff_augment", text)).train.diff_augment == names


@pytest.mark.parametrize("text, numbers", [("64,32", (64, 32)), ("(64,)", (64,)), ("64", (64,))])
def test_a_tuple_of_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert parsed(("model.generator_filters", text)).model.generator_filters == numbers


def test_what_belongs_to_no_tuple_is_left_for_the_check() -> None:
    assert parsed(("model.generator_filters", "(8,x)")).model.generator_filters == ("(8,x)",)
    assert parsed(("train.diff_augment", "color,x-y")).train.diff_augment == ("color,x-y",)


def test_names_of_a_literal_and_a_repeated_flag() -> None:
    config = parsed(
        ("loss.objective", "hinge"),
        ("train.diff_augment", "color"),
        ("train.diff_augment", "cutout"),
    )
    assert config.loss.objective == "hinge"
    assert config.train.diff_augment == ("color", "cutout")
