"""What every candidate of the step bench trains, in plain numbers."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it loads TensorFlow, which the other frameworks' processes lack
    from trainer.config import Config

BATCH_NORM_EPSILON = 1e-3  # Keras's
OUTPUT_KERNEL = 5
BLOCK_KERNEL = 4
RMSPROP_DECAY = 0.9
RMSPROP_EPSILON = 1e-7  # Keras's, added to the mean square before the root


@dataclasses.dataclass(frozen=True)
class Task:
    """A DCGAN with binary cross-entropy and RMSprop; the fields mean what the config's do."""

    batch_size: int
    resolution: int
    latent_dim: int
    generator_filters: tuple[int, ...]
    discriminator_filters: tuple[int, ...]
    leaky_relu_slope: float
    dropout_rate: float
    batch_norm_momentum: float
    real_label: float
    generator_learning_rate: float
    discriminator_learning_rate: float

    @classmethod
    def of(cls, config: "Config") -> "Task":
        """The task of a config whose losses and optimizers are those of configs/mnist.py."""
        model, optimizer = config.model, config.optimizer
        assert config.loss.objective == "bce" and model.channels == 1, "not what the peers do"
        return cls(
            batch_size=config.train.global_batch_size,
            resolution=model.resolution,
            latent_dim=model.latent_dim,
            generator_filters=model.generator_filters,
            discriminator_filters=model.discriminator_filters,
            leaky_relu_slope=model.leaky_relu_slope,
            dropout_rate=model.dropout_rate,
            batch_norm_momentum=model.batch_norm_momentum,
            real_label=config.loss.real_label,
            generator_learning_rate=optimizer.generator.learning_rate,
            discriminator_learning_rate=optimizer.discriminator.learning_rate,
        )

    @property
    def base(self) -> int:
        """Pixels a side of G's dense layer's output."""
        return self.resolution // 2 ** (len(self.generator_filters) - 1)

    @property
    def last(self) -> int:
        """Pixels a side of D's last features."""
        return self.resolution // 2 ** len(self.discriminator_filters)
