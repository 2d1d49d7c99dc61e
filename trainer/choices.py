"""The names that fields of the config choose from, as types.

They stand apart from what implements them, because `--help` must not wait for TensorFlow.
"""

from typing import Literal

Architecture = Literal["dcgan", "resnet"]
Norm = Literal["batch", "layer", "none"]
Upsampling = Literal["transposed", "resize"]
Precision = Literal["float32", "bfloat16"]
ObjectiveName = Literal[
    "bce",
    "non_saturating",
    "minimax",
    "least_squares",
    "hinge",
    "wasserstein",
    "relativistic_average",
    "relativistic_paired",
]
PenaltyName = Literal["none", "wgan_gp", "r1", "r2", "r1_r2", "dragan"]
OptimizerName = Literal["rmsprop", "adam", "adamw", "sgd"]
LearningRateSchedule = Literal["constant", "linear", "cosine"]
UpdateOrder = Literal["alternating", "simultaneous"]
Augmentation = Literal["color", "translation", "cutout"]
OnDivergence = Literal["stop", "rollback"]
JitCompile = Literal["auto", "true", "false"]
Convolutions = Literal["auto", "plain", "unit_stride"]
RankingMeasure = Literal["fid", "kid", "precision", "recall", "density", "coverage", "class_kl"]
