"""A folder of your own pictures at 64x64 in colour, a few hundred or more.

Papers:   DCGAN: Radford et al. 2015, https://arxiv.org/abs/1511.06434
          R1: Mescheder et al. 2018, https://arxiv.org/abs/1801.04406
          augmentation for small sets: Zhao et al. 2020, https://arxiv.org/abs/2006.10738
Prepare:  python -m trainer.data.prepare --source=images:photos --resolution=64 \\
              --output=data/photos
Command:  python -m trainer.main --config=configs/image_folder_64.py --run_dir=runs/photos
Time:     24 minutes for 60,000 images on 2 cores of an AMD EPYC (2026-11-22); the 50,000 steps see
          3.2 million: a run for a GPU. --config.train.steps=500 tries it out
Result:   not run to the end here

With tens of thousands of pictures, leave the augmentation out: --config.train.diff_augment=
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
    """Four blocks, from 4x4 to 64x64 and back."""
    adam = {"name": "adam", "learning_rate": 2e-4}
    return Config(
        data=DataConfig(source="images:photos", records_dir="data/photos"),
        model=ModelConfig(
            resolution=64,
            channels=3,
            latent_dim=128,
            generator_filters=(512, 256, 128, 64, 64),
            discriminator_filters=(64, 128, 256, 512),
            upsampling="resize",
            dropout_rate=0.0,
        ),
        loss=LossConfig(
            objective="non_saturating", penalty="r1", penalty_weight=1.0, penalty_every_steps=4
        ),
        optimizer=OptimizersConfig(
            generator=OptimizerConfig(**adam), discriminator=OptimizerConfig(**adam)
        ),
        train=TrainConfig(
            global_batch_size=64,
            steps=50_000,
            diff_augment=("color", "translation", "cutout"),
            ema_half_life_images=50_000,
        ),
    )
