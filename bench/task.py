"""What every candidate of the benches step and recipes trains, in plain numbers."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it loads TensorFlow, which the other frameworks' processes lack
    from trainer.config import Config

BATCH_NORM_EPSILON = 1e-3  # Keras's
OUTPUT_KERNEL = 5
BLOCK_KERNEL = 4
STEM_KERNEL = 3
RMSPROP_DECAY = 0.9
RMSPROP_EPSILON = 1e-7  # Keras's, added to the mean square before the root
ADAM_EPSILON = 1e-7  # Keras's


@dataclasses.dataclass(frozen=True)
class Task:
    """A DCGAN; the fields mean what the config's do. Learning rates stay as they are.

    Not every peer knows every objective, penalty and layer: whose facts differ is left out.
    """

    batch_size: int
    resolution: int
    latent_dim: int
    generator_filters: tuple[int, ...]
    generator_dense_units: int
    discriminator_filters: tuple[int, ...]
    discriminator_stem_filters: int
    discriminator_dense_units: int
    leaky_relu_slope: float
    dropout_rate: float
    batch_norm_momentum: float
    precision: str
    objective: str
    real_label: float
    penalty: str
    penalty_weight: float
    penalty_every_steps: int
    discriminator_steps: int
    optimizer: str
    generator_learning_rate: float
    discriminator_learning_rate: float
    beta_1: float
    beta_2: float
    ema_half_life_images: int

    @classmethod
    def of(cls, config: "Config") -> "Task":
        """The task of a config with grey images and one rule for both optimizers."""
        model, loss, train = config.model, config.loss, config.train
        optimizer, optimizer_of_g = config.optimizer.discriminator, config.optimizer.generator
        assert model.architecture == "dcgan" and model.channels == 1, "not what the peers do"
        assert optimizer.name == optimizer_of_g.name, "not what the peers do"
        return cls(
            batch_size=train.global_batch_size,
            resolution=model.resolution,
            latent_dim=model.latent_dim,
            generator_filters=model.generator_filters,
            generator_dense_units=model.generator_dense_units,
            discriminator_filters=model.discriminator_filters,
            discriminator_stem_filters=model.discriminator_stem_filters,
            discriminator_dense_units=model.discriminator_dense_units,
            leaky_relu_slope=model.leaky_relu_slope,
            dropout_rate=model.dropout_rate,
            batch_norm_momentum=model.batch_norm_momentum,
            precision=model.precision,
            objective=loss.objective,
            real_label=loss.real_label if loss.objective == "bce" else 1.0,
            penalty=loss.penalty,
            penalty_weight=loss.penalty_weight,
            penalty_every_steps=loss.penalty_every_steps,
            discriminator_steps=train.discriminator_steps,
            optimizer=optimizer.name,
            generator_learning_rate=optimizer_of_g.learning_rate,
            discriminator_learning_rate=optimizer.learning_rate,
            beta_1=optimizer.beta_1,
            beta_2=optimizer.beta_2,
            ema_half_life_images=train.ema_half_life_images,
        )

    @property
    def half_weight(self) -> float:
        """Factor of the sum of D's two cross-entropies; non_saturating is bce without it."""
        return 0.5 if self.objective == "bce" else 1.0

    @property
    def penalty_factor(self) -> float:
        """Weight of the penalty in a step that has one."""
        return self.penalty_weight * self.penalty_every_steps

    @property
    def ema_decay(self) -> float:
        """Share of itself that G's moving average keeps in a step, once its ramp is over."""
        return 0.5 ** (self.batch_size / self.ema_half_life_images)

    @property
    def images_per_step(self) -> int:
        """Real images that a step takes."""
        return self.batch_size * self.discriminator_steps

    def has_penalty(self, update: int) -> bool:
        """Whether D's update of a number, from 0 on, has the penalty."""
        return self.penalty != "none" and update % self.penalty_every_steps == 0

    @property
    def base(self) -> int:
        """Pixels a side of G's dense layer's output."""
        return self.resolution // 2 ** (len(self.generator_filters) - 1)

    @property
    def last(self) -> int:
        """Pixels a side of D's last features."""
        return self.resolution // 2 ** len(self.discriminator_filters)
