"""The whole configuration: its sections together, checked once after parsing."""

import dataclasses
import json

from trainer.config_fields import Section, check_fields, config_field, from_dict
from trainer.config_sections import (
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    OptimizersConfig,
    TrainConfig,
)
from trainer.errors import UserError


@dataclasses.dataclass
class Config(Section):
    """Everything that decides a run."""

    seed: int = config_field(
        0, "Source of initial weights, noise, dropout and order.", at_least=0, below=2**31
    )
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizersConfig = dataclasses.field(default_factory=OptimizersConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)

    @property
    def group_size(self) -> int:
        """Images in one group: `train.group_size`, or the whole batch where that is 0."""
        return self.train.group_size or self.train.global_batch_size

    @property
    def images_per_step(self) -> int:
        """Real images that one step, that is one generator update, takes from the set."""
        return self.train.global_batch_size * self.train.discriminator_steps

    def validate(self) -> None:
        """Checks every field once, after parsing.

        Raises:
            UserError: names the field, its value and what is allowed.
        """
        check_fields(self)
        _check_batch(self)
        _check_resolution(self.model)
        _check_architecture(self.model)
        _check_discriminator(self)

    @property
    def learns_to_the_end(self) -> bool:
        """Whether a learning rate falls until the end of the run, wherever that is."""
        both: tuple[OptimizerConfig, ...]
        both = (self.optimizer.generator, self.optimizer.discriminator)
        return any(each.schedule != "constant" and not each.decay_steps for each in both)

    def trained_on(self, source: str) -> "Config":
        """A copy that names the source of the records, which a config may not know."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, source=source))

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
    path = max(doublings, key=lambda each: doublings[each])
    blocks = doublings[path]
    if model.resolution % 2**blocks:
        raise UserError(
            f"model.resolution is {model.resolution}; {path} has {blocks} blocks and so needs a "
            f"multiple of {2**blocks}: change the resolution or the number of blocks."
        )


def _check_architecture(model: ModelConfig) -> None:
    if model.architecture == "dcgan":
        return
    for field in ("discriminator_stem_filters", "discriminator_dense_units"):
        if getattr(model, field):
            raise UserError(
                f"model.{field} is {getattr(model, field)}, which model.architecture="
                f"{model.architecture} has no place for: set it to 0, or the architecture to dcgan."
            )


def _check_discriminator(config: Config) -> None:
    loss, model = config.loss, config.model
    if loss.penalty != "none" and model.discriminator_norm == "batch":
        raise UserError(
            f"model.discriminator_norm is batch, which does not go with loss.penalty="
            f"{loss.penalty}: the penalty is on the gradient of each image's own logit, and "
            "BatchNorm makes a logit depend on the other images too; layer or none would do."
        )
    if loss.objective == "wasserstein" and loss.penalty == "none" and not model.spectral_norm:
        penalty = "" if model.discriminator_norm == "batch" else "loss.penalty=wgan_gp or "
        raise UserError(
            "loss.objective is wasserstein with nothing that bounds D's slope, so that its loss "
            f"falls without end: set {penalty}model.spectral_norm=true."
        )
