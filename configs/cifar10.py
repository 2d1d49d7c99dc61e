"""A residual GAN with spectral normalisation on CIFAR-10, 32x32 in colour.

Paper:    Miyato et al. 2018, https://arxiv.org/abs/1802.05957 (figure 8, table 3 setting A)
Prepare:  python -m trainer.data.prepare --source=tfds:cifar10 --output=data/cifar10
Command:  python -m trainer.main --config=configs/cifar10.py --run_dir=runs/cifar10
Time:     26 minutes for 60,000 images on 2 cores of an AMD EPYC (2026-11-22): a run for a GPU
Result:   not run to the end here

Differs from the paper: the discriminator has three blocks, each of which halves the resolution,
where theirs has two more that do not. Add --config.model.num_classes=10 for a conditional model.
"""

from trainer.config import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    OptimizersConfig,
    TrainConfig,
)


def get_config() -> Config:
    """Hinge loss, five discriminator steps, Adam without momentum of the mean."""
    return Config(
        data=DataConfig(source="tfds:cifar10", records_dir="data/cifar10"),
        model=ModelConfig(
            architecture="resnet",
            resolution=32,
            channels=3,
            latent_dim=128,
            generator_filters=(256, 256, 256, 256),
            discriminator_filters=(128, 128, 128),
            spectral_norm=True,
            dropout_rate=0.0,
            leaky_relu_slope=0.0,
        ),
        loss=LossConfig(objective="hinge"),
        optimizer=OptimizersConfig(
            generator=OptimizerConfig(
                name="adam",
                learning_rate=2e-4,
                beta_1=0.0,
                beta_2=0.9,
                schedule="linear",
            ),
            discriminator=OptimizerConfig(
                name="adam",
                learning_rate=2e-4,
                beta_1=0.0,
                beta_2=0.9,
                schedule="linear",
            ),
        ),
        train=TrainConfig(
            global_batch_size=64,
            discriminator_steps=5,
            steps=50_000,
            ema_half_life_images=500_000,
        ),
    )
