import dataclasses
import json

import pytest

from tests.helpers.variants import changed
from trainer.config import Config
from trainer.config_fields import is_field, meanings, unknown_field_message
from trainer.errors import UserError


def test_defaults_are_valid_and_survive_json() -> None:
    Config().validate()
    config = changed(
        Config(), {"model.generator_filters": (8, 4), "train.diff_augment": ("color", "cutout")}
    )
    assert Config.from_json(config.to_json()) == config


@pytest.mark.parametrize("text, names", [("", ()), ("color,cutout", ("color", "cutout"))])
def test_names_that_earlier_versions_wrote_as_one_text(text: str, names: tuple[str, ...]) -> None:
    written = json.dumps({"train": {"diff_augment": text}})
    assert Config.from_json(written).train.diff_augment == names


@pytest.mark.parametrize("old, now", [(True, "true"), (False, "false")])
def test_a_boolean_of_an_earlier_version_is_now_a_name(old: bool, now: str) -> None:
    config = changed(Config(), {"train.jit_compile": old})
    assert config.train.jit_compile == now
    assert Config.from_json(json.dumps({"train": {"jit_compile": old}})).train.jit_compile == now


@pytest.mark.parametrize(
    "path, value, words",
    [
        ("train.epochs", 0, "train.epochs is 0; it must be at least 1"),
        ("train.epochs", 2.5, "train.epochs is 2.5; it takes a whole number"),
        ("model.dropout_rate", 1.0, "model.dropout_rate is 1.0; it must be at least 0 and below 1"),
        ("model.dropout_rate", float("nan"), "model.dropout_rate is nan"),
        ("model.generator_filters", (8, 0), "model.generator_filters is 0"),
        ("model.generator_filters", ("(8,x)",), "model.generator_filters is '(8,x)'"),
        ("model.generator_filters", (), "model.generator_filters is ''"),
        ("optimizer.generator.learning_rate", -1.0, "optimizer.generator.learning_rate is -1.0"),
        ("optimizer.generator.learning_rate", "fast", "takes a number"),
        ("train.jit_compile", 1, "train.jit_compile is 1; it takes one of auto, true, false"),
        ("train.group_size", 48, "train.group_size is 48; it must divide"),
        ("model.resolution", 30, "model.resolution is 30; model.generator_filters has 2 blocks"),
        ("loss.objective", "gan", "loss.objective is 'gan'; it takes one of bce, non_sat"),
        ("loss.objective", "wasserstein", "with nothing that bounds D's slope"),
        ("train.diff_augment", ("colour",), "train.diff_augment is 'colour'; it takes a tuple of"),
        ("train.diff_augment", "cutout", "it takes a tuple of some of color,translation,cutout"),
    ],
)
def test_bad_values_are_named(path: str, value: object, words: str) -> None:
    with pytest.raises(UserError, match=words.replace("(", r"\(").replace(")", r"\)")):
        changed(Config(), {path: value})


def test_penalties_refuse_batch_norm_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"loss\.penalty=r1.*depend on the other images"):
        changed(Config(), {"model.discriminator_norm": "batch", "loss.penalty": "r1"})


def test_residual_networks_have_no_stem() -> None:
    with pytest.raises(UserError, match=r"discriminator_stem_filters is 8.*=resnet has no place"):
        changed(Config(), {"model.architecture": "resnet", "model.discriminator_stem_filters": 8})


def test_every_field_is_documented_and_has_a_default_of_its_type() -> None:
    def check(section: type) -> None:
        for field in dataclasses.fields(section):
            if dataclasses.is_dataclass(field.type):
                check(field.type)
            else:
                assert field.metadata["help"].endswith("."), field.name

    check(Config)
    found = meanings(Config())
    assert "train.global_batch_size=64" in found
    assert found["optimizer.generator.name=rmsprop"].endswith("One of rmsprop, adam, adamw, sgd.")
    assert found["train.diff_augment="].endswith("Some of color,translation,cutout.")


def test_an_unknown_field_gets_the_nearest_one() -> None:
    assert not is_field(Config(), "train.epoch")
    for name in ("train.epoch", "epochs", "optimizer.epochs"):
        assert "did you mean train.epochs?" in unknown_field_message(Config(), name)
    both = "optimizer.generator.learning_rate or optimizer.discriminator.learning_rate?"
    for name in ("lr", "learning_rate", "generator.lr"):
        assert unknown_field_message(Config(), name).endswith(f"did you mean {both}")
    with pytest.raises(UserError, match="did you mean"):
        Config.from_json('{"model": {"latent_dims": 3}}')
