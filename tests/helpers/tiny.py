"""A config whose model compiles in seconds."""

from pathlib import Path

from trainer.config import Config, DataConfig, ModelConfig, TrainConfig


def tiny_config(records_dir: Path | str = "") -> Config:
    """16 groups' worth of nothing: 8x8 images, a few thousand weights, batches of 8."""
    return Config(
        data=DataConfig(source="none", records_dir=str(records_dir)),
        model=ModelConfig(
            resolution=8, latent_dim=8, generator_filters=(8, 8, 4), discriminator_filters=(4, 8)
        ),
        train=TrainConfig(
            global_batch_size=8,
            group_size=2,
            epochs=2,
            log_every_steps=2,
            checkpoint_every_steps=4,
            grid_images=9,
        ),
    )
