"""Configs and texts of fields at random, for property tests."""

import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
from hypothesis import strategies as st

from tests.conftest import make_strategy_of
from tests.helpers.examples import prepared
from trainer.config import Config
from trainer.errors import DivergedError, UserError
from trainer.loop import Run
from trainer.train import train

Records = dict[tuple[int, int, int], str]
"""Folders of records by resolution, channels and classes."""

HUGE = (2**31 - 1, 2**31, 2**63, 10**30)
"""Whole numbers at the ends of machine types, and beyond."""

# What makes a network or a batch large, and what decides over files and time.
SMALL: Mapping[str, st.SearchStrategy[Any]] = {
    "data.source": st.just("none"),
    "data.records_dir": st.just(""),
    "data.shards": st.integers(1, 3),
    "model.resolution": st.sampled_from([8, 4, 12, 16, 2, 1, 3]),
    "model.channels": st.sampled_from([1, 3, 4]),
    "model.latent_dim": st.integers(1, 9),
    "model.generator_filters": st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    "model.discriminator_filters": st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    "model.num_classes": st.sampled_from([0, 3]),
    "model.class_embedding_dim": st.integers(0, 5),
    "train.global_batch_size": st.sampled_from([4, 8, 12, 1, 5]),
    "train.group_size": st.sampled_from([0, 4, 2, 1, 5]),
    "train.discriminator_steps": st.integers(1, 3),
    "train.steps": st.just(2),
    "train.jit_compile": st.just("false"),
    "train.grid_images": st.integers(1, 9),
    "evaluation.every_epochs": st.just(0),
    "evaluation.extractor": st.just("random"),
}


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, "dataclasses.Field[Any]"]]:
    """The fields of a nest of dataclasses by their dotted names."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field


FIELDS = dict(leaves(Config()))


def values_of(field: "dataclasses.Field[Any]") -> st.SearchStrategy[Any]:
    """What a field takes by itself, the ends of its range among it."""
    bounds, kind = field.metadata["bounds"], field.type
    if kind is bool:
        return st.booleans()
    if kind is str:
        return st.text(max_size=5)
    if get_origin(kind) is tuple:
        names = get_args(get_args(kind)[0])
        each = st.sampled_from(names) if names else st.integers(1, 8)
        return st.lists(each, min_size=0 if names else 1, max_size=3).map(tuple)
    if names := get_args(kind):
        return st.sampled_from(names)
    if kind is int:
        low, high = bounds["at_least"], bounds.get("at_most", bounds.get("below", 10**31) - 1)
        huge = [number for number in HUGE if number <= high]
        near = st.integers(low, min(high, low + 5))
        return near | st.sampled_from(huge) if huge else near
    low, high = bounds.get("at_least", bounds.get("above")), bounds.get("at_most")
    return st.floats(
        low,
        bounds.get("below", high),
        exclude_min="above" in bounds,
        exclude_max="below" in bounds,
        allow_nan=False,
    )


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A config with a few fields changed, each of a value that it takes by itself; all is small."""
    config = Config()
    for path in SMALL:
        assign(config, path, draw(SMALL[path]))
    others = sorted(FIELDS.keys() - SMALL.keys())
    for path in draw(st.lists(st.sampled_from(others), max_size=12, unique=True)):
        assign(config, path, draw(values_of(FIELDS[path])))
    return config


def valid_configs() -> st.SearchStrategy[Config]:
    """Those of `configs` that validate."""
    return configs().filter(validates)


def validates(config: Config) -> bool:
    """Whether the checks let it pass."""
    try:
        config.validate()
    except UserError:
        return False
    return True


def assign(config: Any, path: str, value: Any) -> None:
    """Sets a field by its dotted name."""
    *sections, name = path.split(".")
    for section in sections:
        config = getattr(config, section)
    setattr(config, name, value)


def records_of(config: Config, folder: Path, made: Records) -> str:
    """The folder of 24 images as the config's model takes them, prepared once."""
    model = config.model
    key = (model.resolution, model.channels, model.num_classes)
    if key not in made:
        shape = (24, model.resolution, model.resolution, model.channels)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        labels = np.arange(24) % model.num_classes if model.num_classes else None
        own = folder / "x".join(map(str, key))
        own.mkdir()
        made[key] = prepared(own, images, labels)
    return made[key]


def outcome(config: Config, folder: Path, made: Records) -> str:
    """Trains two steps in a run directory of their own: `trained`, or the sentence of a refusal."""
    try:
        config.validate()
        config.data.records_dir = records_of(config, folder, made)
        with tempfile.TemporaryDirectory(dir=folder) as run_dir:
            run: Run = train(config, make_strategy_of(1), run_dir)
    except (UserError, DivergedError) as error:
        assert str(error) and "\n" not in str(error), error
        return str(error)
    assert int(run.gan.step.numpy()) == config.train.steps
    return "trained"


def differing(config: Config) -> dict[str, Any]:
    """The fields that are not as in `Config()`, by their dotted names."""
    ours, default = (dict(values(each)) for each in (config, Config()))
    return {path: value for path, value in ours.items() if value != default[path]}


def values(config: Config) -> Iterator[tuple[str, Any]]:
    """Each field's value by its dotted name."""
    for path in FIELDS:
        yield path, functools.reduce(getattr, path.split("."), config)
