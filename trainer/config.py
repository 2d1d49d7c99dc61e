"""The whole configuration: typed, documented, and checked once after parsing.

Every field carries its help text, its allowed range and whether a resumed run
may change it; `validate`, `describe` and `resume_conflicts` read them from
there, so that a field is stated in one place only.
"""

import dataclasses
import difflib
import json
from collections.abc import Iterator
from typing import Any, TypeVar

from trainer.errors import UserError

_SectionT = TypeVar("_SectionT")


def setting(
    default: Any,
    help: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    changeable: bool = False,
) -> Any:
    """A dataclass field with its documentation and its allowed range.

    Args:
        default: the value where a config file and the command line are silent.
        help: one sentence for `--help`; units belong in the field's name.
        at_least, at_most, above, below: bounds of a number, or of every number
            of a tuple.
        choices: the words allowed; empty: any.
        changeable: whether a run may be resumed with another value.
    """
    bounds = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    metadata = {
        "help": help,
        "changeable": changeable,
        "choices": choices,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass
class DataConfig:
    """Where images come from and how they are read."""

    source: str = setting(
        "digits", "digits, idx:DIR, tfds:NAME, images:DIR or npz:FILE; read once, by prepare."
    )
    records_dir: str = setting(
        "data/digits", "Folder of the prepared TFRecords; made if it is not there.", changeable=True
    )
    shards: int = setting(4, "TFRecord files that prepare writes.", at_least=1, at_most=100_000)
    memory_budget_mib: int = setting(
        2048, "A set that takes no more than this is kept in memory.", at_least=0
    )
    shuffle_buffer_images: int = setting(
        20_000, "Images shuffled together when streaming from shards.", at_least=1
    )


@dataclasses.dataclass
class ModelConfig:
    """Generator and discriminator."""

    resolution: int = setting(28, "Height and width of the images, in pixels.", at_least=1)
    channels: int = setting(1, "1 for grey, 3 for RGB.", at_least=1, at_most=4)
    latent_dim: int = setting(256, "Length of the latent vector z.", at_least=1)
    generator_filters: tuple[int, ...] = setting(
        (128, 96, 64),
        "Channels after the dense layer, then after each block; a block doubles the resolution.",
        at_least=1,
    )
    discriminator_filters: tuple[int, ...] = setting(
        (64, 128), "Channels after each block; a block halves the resolution.", at_least=1
    )
    dropout_rate: float = setting(
        0.3, "Share of the discriminator's features dropped.", at_least=0, below=1
    )
    leaky_relu_slope: float = setting(0.2, "Slope of LeakyReLU below zero.", at_least=0, below=1)
    precision: str = setting(
        "float32",
        "float32, or bfloat16: layers compute in bfloat16 and keep float32 weights.",
        choices=("float32", "bfloat16"),
    )
    batch_norm_momentum: float = setting(
        0.99, "Decay of BatchNorm's moving statistics, per step.", at_least=0, below=1
    )


@dataclasses.dataclass
class LossConfig:
    """Binary cross-entropy with one-sided label smoothing."""

    real_label: float = setting(0.9, "Target of D for real images; 1 is none.", above=0, at_most=1)


@dataclasses.dataclass
class OptimizerConfig:
    """The optimizer of one network."""

    name: str = setting("rmsprop", "rmsprop or sgd.", choices=("rmsprop", "sgd"))
    learning_rate: float = setting(5e-4, "Step size.", above=0, changeable=True)


@dataclasses.dataclass
class OptimizersConfig:
    """One optimizer for each network."""

    generator: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=5e-4)
    )
    discriminator: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=5e-5)
    )


@dataclasses.dataclass
class TrainConfig:
    """The loop."""

    global_batch_size: int = setting(64, "Images a step, over all replicas.", at_least=1)
    group_size: int = setting(
        0,
        "Images that a program computes at once and that share BatchNorm statistics; "
        "0: the whole batch is one group.",
        at_least=0,
    )
    epochs: int = setting(20, "Passes over the images.", at_least=1, changeable=True)
    steps: int = setting(
        0, "Generator updates; 0: as many as `epochs` gives.", at_least=0, changeable=True
    )
    steps_per_call: int = setting(
        1,
        "Steps that the host runs without returning to Python; 50 or more on a TPU.",
        at_least=1,
        changeable=True,
    )
    on_divergence: str = setting(
        "stop",
        "At NaN or infinity: stop, or rollback to the last checkpoint and take other batches.",
        choices=("stop", "rollback"),
        changeable=True,
    )
    rollbacks_at_most: int = setting(
        3, "Rollbacks of one run; the next divergence stops it.", at_least=1, changeable=True
    )
    jit_compile: bool = setting(True, "Compile the step with XLA.", changeable=True)
    checkpoint_every_steps: int = setting(
        500, "Steps between checkpoints.", at_least=1, changeable=True
    )
    checkpoints_to_keep: int = setting(3, "Newest checkpoints kept.", at_least=1, changeable=True)
    log_every_steps: int = setting(
        50, "Steps that one line of metrics averages over.", at_least=1, changeable=True
    )
    grid_every_epochs: int = setting(
        1, "Epochs between grids of the fixed latents.", at_least=1, changeable=True
    )
    grid_images: int = setting(64, "Images in a grid.", at_least=1, at_most=4096)


@dataclasses.dataclass
class Config:
    """Everything that decides a run."""

    seed: int = setting(
        0, "Source of initial weights, noise, dropout and order.", at_least=0, below=2**31
    )
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizersConfig = dataclasses.field(default_factory=OptimizersConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    @property
    def group_size(self) -> int:
        """Images in one group: `train.group_size`, or the whole batch where that is 0."""
        return self.train.group_size or self.train.global_batch_size

    def validate(self) -> None:
        """Checks every field once, after parsing.

        Raises:
            UserError: names the field, its value and what is allowed.
        """
        for path, field, value in _leaves(self):
            _check_type(path, field, value)
            _check_choice(path, field, value)
            for number in value if isinstance(value, tuple) else (value,):
                _check_bounds(path, field, number)
        _check_batch(self)
        _check_resolution(self.model)

    def to_json(self) -> str:
        """The config as indented JSON; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Reads what `to_json` wrote.

        Raises:
            UserError: the text has a field that this version does not know.
        """
        return _from_dict(cls, json.loads(text), "")


def is_field(path: str) -> bool:
    """Whether there is a field of this dotted name, such as `train.epochs`."""
    return path in _field_paths()


def unknown_field_message(path: str) -> str:
    """One sentence for a field that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(path, _field_paths(), n=1, cutoff=0.5)
    mend = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(_field_paths())}."
    return f"there is no config field {path}: {mend}"


def describe() -> str:
    """All fields with default and meaning, a line each, for `--help`."""
    return "\n".join(
        f"  --config.{path}={_shown(value)}\n      {field.metadata['help']}"
        for path, field, value in _leaves(Config())
    )


def resume_conflicts(saved: Config, wanted: Config) -> list[str]:
    """Fields that differ and that a resumed run may not change, as readable lines."""
    return [
        f"{path}: the run has {_shown(old)}, you ask for {_shown(new)}"
        for (path, field, old), (_, _, new) in zip(_leaves(saved), _leaves(wanted), strict=True)
        if old != new and not field.metadata["changeable"]
    ]


def _leaves(section: Any, prefix: str = "") -> Iterator[tuple[str, "dataclasses.Field[Any]", Any]]:
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field, value


def _field_paths() -> list[str]:
    return [path for path, _, _ in _leaves(Config())]


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_type(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    if isinstance(field.default, tuple):
        if not value or not all(type(item) is int for item in value):
            raise UserError(f"{path} is {_shown(value)!r}; give whole numbers, such as 128,64.")
    elif isinstance(field.default, float):
        if type(value) not in (int, float):
            raise UserError(f"{path} is {value!r}; it takes a number.")
    elif type(value) is not type(field.default):
        raise UserError(f"{path} is {value!r}; it takes a {type(field.default).__name__}.")


def _check_choice(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise UserError(f"{path} is {value!r}; it must be {' or '.join(choices)}.")


def _check_bounds(path: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    holds = {
        "at_least": lambda bound: value >= bound,
        "at_most": lambda bound: value <= bound,
        "above": lambda bound: value > bound,
        "below": lambda bound: value < bound,
    }
    bounds = field.metadata["bounds"]
    # `all` of positive comparisons: NaN fails every one of them.
    if not all(holds[name](bound) for name, bound in bounds.items()):
        allowed = " and ".join(f"{name.replace('_', ' ')} {b}" for name, b in bounds.items())
        raise UserError(f"{path} is {value}; it must be {allowed}.")


def _check_batch(config: Config) -> None:
    batch, group = config.train.global_batch_size, config.group_size
    if batch % group:
        raise UserError(
            f"train.group_size is {group}; it must divide train.global_batch_size, {batch}."
        )


def _check_resolution(model: ModelConfig) -> None:
    doublings = {
        "model.generator_filters": len(model.generator_filters) - 1,
        "model.discriminator_filters": len(model.discriminator_filters),
    }
    for path, count in doublings.items():
        if model.resolution % 2**count:
            raise UserError(
                f"model.resolution is {model.resolution}; {path} has {count} blocks and so needs "
                f"a multiple of {2**count}: change the resolution or the number of blocks."
            )


def _from_dict(section: type[_SectionT], values: dict[str, Any], prefix: str) -> _SectionT:
    built: dict[str, Any] = {}
    fields = {field.name: field for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in fields:
            raise UserError(unknown_field_message(f"{prefix}{name}"))
        if isinstance(value, dict):
            value = _from_dict(fields[name].type, value, f"{prefix}{name}.")  # type: ignore[arg-type]
        built[name] = tuple(value) if isinstance(value, list) else value
    return section(**built)
