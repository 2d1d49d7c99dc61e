"""Configs that together use every objective and every option of the step."""

from typing import Any, get_args

from tests.helpers.tiny import tiny_config
from trainer.choices import ObjectiveName
from trainer.config import Config

Changes = dict[str, Any]

ADAM: Changes = {"optimizer.generator.name": "adam", "optimizer.discriminator.name": "adam"}
SGD: Changes = {
    "optimizer.generator.name": "sgd",
    "optimizer.discriminator.name": "sgd",
    "optimizer.generator.learning_rate": 0.1,
    "optimizer.discriminator.learning_rate": 0.1,
}
LIPSCHITZ: dict[str, Changes] = {"wasserstein": {"model.spectral_norm": True}}
"""What an objective cannot do without."""

VARIANTS: dict[str, Changes] = {
    "bce": {},
    "non_saturating": {
        "loss.penalty": "r1",
        "loss.penalty_every_steps": 2,
        "model.discriminator_stem_filters": 3,
        "model.discriminator_dense_units": 5,
        "model.generator_dense_units": 6,
        **ADAM,
    },
    "minimax": {"train.update_order": "simultaneous", "optimizer.generator.clip_norm": 0.1, **SGD},
    "least_squares": {
        "model.discriminator_norm": "batch",
        "model.num_classes": 3,
        "train.global_batch_size": 12,  # six groups: their mean is no exact division
        "train.discriminator_steps": 3,
    },
    "hinge": {
        "model.architecture": "resnet",
        "model.generator_dense_units": 6,
        "model.generator_filters": (8, 4),
        "model.discriminator_filters": (4,),
        "model.spectral_norm": True,
        "model.num_classes": 3,
    },
    "wasserstein": {
        "loss.penalty": "wgan_gp",
        "train.discriminator_steps": 3,
        "model.discriminator_norm": "layer",
        "optimizer.discriminator.clip_norm": 0.5,
        **ADAM,
    },
    "relativistic_average": {
        "loss.penalty": "dragan",
        "train.ema_half_life_images": 30,
        "optimizer.generator.name": "adamw",
        "optimizer.generator.schedule": "cosine",
        "optimizer.generator.decay_steps": 8,
    },
    "relativistic_paired": {
        "loss.penalty": "r1_r2",
        "model.num_classes": 3,
        "train.diff_augment": ("color", "translation", "cutout"),
        "train.ema_half_life_images": 30,
        "optimizer.discriminator.momentum": 0.5,
        "optimizer.discriminator.warmup_steps": 3,
    },
}
assert set(VARIANTS) == set(get_args(ObjectiveName))


def variant(name: str) -> Config:
    """The tiny config with the changes of `VARIANTS[name]`."""
    return changed(tiny_config(), {"loss.objective": name, **VARIANTS[name]})


def changed(config: Config, changes: Changes) -> Config:
    """Sets fields by their dotted names and checks the result."""
    for path, value in changes.items():
        *sections, field = path.split(".")
        section: Any = config
        for name in sections:
            section = getattr(section, name)
        assert hasattr(section, field), path
        setattr(section, field, value)
    config.validate()
    return config
