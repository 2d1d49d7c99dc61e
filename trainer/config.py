"""The whole configuration, typed and documented; checked once after parsing."""

import dataclasses
import json

from trainer.errors import UserError
from trainer.settings import check_fields, from_dict, setting


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
        check_fields(self)
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
        return from_dict(cls, json.loads(text))


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
