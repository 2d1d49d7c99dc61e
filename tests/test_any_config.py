"""Properties of all configs; `python -m tests.any_config` trains many of them."""

import copy
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.helpers.any_config import (
    FIELDS,
    HUGE,
    Records,
    assign,
    configs,
    outcome,
    valid_configs,
    validates,
    values_of,
)
from trainer.cli.arguments import with_values
from trainer.config import Config
from trainer.config_fields import is_field, unknown_field_message
from trainer.errors import UserError
from trainer.evaluation.evaluate import Evaluator
from trainer.evaluation.features import Extractor
from trainer.evaluation.reference import Reference
from trainer.strategy import check_shares
from trainer.tpu.step_program import ReplicaOfMany

quick = settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
paths = st.sampled_from(sorted(FIELDS))
numbers = st.integers() | st.sampled_from([*HUGE, -1]) | st.floats()
ODD = ("", "none", "None", "true", "()", "(1,)", "(", "[1", "{1: 2}", "1e400", "0x10", "1\n2", "\\")
texts = (
    st.text(max_size=12)
    | numbers.map(str)
    | st.sampled_from([*ODD, "\udcff", "(" * 300])
    | st.lists(st.integers(), max_size=3).map(lambda items: ",".join(map(str, items)))
)


def refusal(config: Config) -> str:
    """The sentence with which a config is refused; empty where it is not."""
    try:
        config.validate()
    except UserError as error:
        return str(error)
    return ""


@quick
@given(paths, texts)
def test_any_text_is_taken_or_refused_by_a_sentence(path: str, text: str) -> None:
    try:
        config = with_values(Config(), [(path, text)])
        sentence = refusal(config)
    except UserError as error:
        sentence, shown = str(error), text.replace("\n", r"\n")
        assert shown in sentence
    if sentence:
        assert path in sentence and "\n" not in sentence
    else:
        assert Config.from_json(config.to_json()) == config


@quick
@given(configs())
def test_json_keeps_every_value(config: Config) -> None:
    assert Config.from_json(config.to_json()) == config


@settings(quick, max_examples=100)
@given(valid_configs(), paths, st.data())
def test_what_a_sentence_advises_passes(config: Config, path: str, data: st.DataObject) -> None:
    value = data.draw(values_of(FIELDS[path]) | numbers | st.sampled_from(["x", "", True]))
    assign(config, path, value)
    follow(config)


def follow(config: Config) -> None:
    """Does what the config's refusal advises, each of its choices, until there is none."""
    sentence = refusal(config)
    if not sentence:
        return
    advice = list(advised(sentence))
    assert advice, f"advises nothing: {sentence}"
    for path, value in advice:
        mended = copy.deepcopy(config)
        assign(mended, path, value)
        if re.search(r"; it (takes|must be) ", sentence):
            # What a field takes by itself may bring a question of another.
            assert refusal(mended) != sentence
            follow(mended)
        else:
            assert not refusal(mended), f"{sentence} -> {path}={value} -> {refusal(mended)}"


def getattr_of(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def advised(sentence: str) -> Iterator[tuple[str, Any]]:
    """The values that a sentence of `Config.validate` says would do, with their fields."""
    path, _, rest = sentence.partition(" is ")
    if found := re.search(r"it takes (?:a tuple of )?(?:one|some) of ([\w, ]+)\.$", rest):
        names = re.split(", ?", found[1])
        is_tuple = "a tuple of" in rest
        yield from ((path, (name,) if is_tuple else name) for name in names)
    elif "it takes true or false" in rest:
        yield from ((path, value) for value in (True, False))
    elif "it takes a tuple of whole numbers, such as 128,64" in rest:
        yield path, (4,) * len(getattr_of(Config(), path))
    elif "it takes" in rest:
        default = getattr_of(Config(), path)
        yield path, default
    elif found := re.search(r"it must be (.*)\.$", rest):
        yield path, within(path, found[1])
    elif found := re.search(r"it must divide train.global_batch_size, (\d+)", rest):
        whole = int(found[1])
        yield from ((path, part) for part in range(1, whole + 1) if whole % part == 0)
    elif found := re.search(r"needs a multiple of (\d+)", rest):
        yield from ((path, int(found[1]) * times) for times in (1, 2, 3))
    elif found := re.search(r"; (\w+) or (\w+) would do", rest):
        yield from ((path, name) for name in found.groups())
    for field, text in re.findall(r"(\w+\.\w+)=(\w+)(?= or |\.$)", rest):
        yield field, {"true": True}.get(text, text)


def within(path: str, bounds: str) -> Any:
    """A number within the bounds of a sentence, as near to one of them as there is."""
    is_whole = isinstance(getattr_of(Config(), path), int)
    name, bound = bounds.split(" and ")[0].rsplit(" ", 1)
    number = int(float(bound)) if is_whole else float(bound)
    step = 1 if is_whole else math.ulp(number)
    return number + {"at least": 0, "at most": 0, "above": step, "below": -step}[name]


@quick
@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 9))
def test_a_share_that_is_advised_passes(batch: int, group: int, replicas: int) -> None:
    config = Config()
    config.train.global_batch_size, config.train.group_size = batch, group
    if not validates(config):
        return
    try:
        check_shares(config, ReplicaOfMany(replicas))
    except UserError as error:
        groups = re.search(r"--config\.train\.group_size=(\d+)(?: or (\d+))?", str(error))
        assert groups
        choices = re.search(r"; (\d+)(?: or (\d+))? would do, with", str(error))
        sizes = filter(None, choices.groups()) if choices else [str(batch)]
        for size, each in zip(sizes, filter(None, groups.groups()), strict=True):
            config.train.global_batch_size, config.train.group_size = int(size), int(each)
            config.validate()
            check_shares(config, ReplicaOfMany(replicas))
    else:
        assert batch % replicas == 0


@quick
@given(paths, st.integers(0, 20), st.sampled_from("x_."))
def test_a_field_that_is_meant_is_there(path: str, place: int, letter: str) -> None:
    place %= len(path)
    for wrong in (path[:place] + path[place + 1 :], path[:place] + letter + path[place:]):
        if not is_field(Config(), wrong):
            found = re.search(r"did you mean (.*)\?", unknown_field_message(Config(), wrong))
            assert found and all(is_field(Config(), name) for name in found[1].split(" or "))


class Pixels(Extractor):
    """Features of as many numbers as asked for."""

    def __init__(self, size: int) -> None:
        self.feature_size, self.num_classes, self.name = size, 0, "pixels"


@settings(quick, max_examples=50)
@given(st.integers(20, 120), st.integers(4, 30), st.integers(10, 100))
def test_a_number_of_samples_that_is_advised_passes(images: int, size: int, count: int) -> None:
    features = np.random.default_rng(0).normal(size=(images, size))
    reference = Reference(
        Pixels(size), features, None, np.arange(images), np.arange(images), 0.1, ""
    )
    try:
        Evaluator(reference, count)
    except UserError as error:
        found = re.search(r"--config\.evaluation\.images=(\d+)", str(error))
        if found:
            Evaluator(reference, int(found[1]))
        else:
            assert "take a larger set" in str(error) and images < 2 * (size + 1)


def test_a_few_that_validate_train_two_steps(tmp_path: Path) -> None:
    made: Records = {}

    @settings(quick, max_examples=2, phases=[Phase.generate])
    @given(valid_configs())
    def try_one(config: Config) -> None:
        outcome(config, tmp_path, made)

    try_one()
