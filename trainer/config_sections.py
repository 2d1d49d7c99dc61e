"""The sections of the config: one dataclass for each part of a run, every field documented."""

import dataclasses

from trainer.choices import (
    Architecture,
    Augmentation,
    Convolutions,
    JitCompile,
    LearningRateSchedule,
    Norm,
    ObjectiveName,
    OnDivergence,
    OptimizerName,
    PenaltyName,
    Precision,
    RankingMeasure,
    UpdateOrder,
    Upsampling,
)
from trainer.config_fields import Section, config_field


@dataclasses.dataclass
class DataConfig(Section):
    """Where images come from and how they are read."""

    source: str = config_field(
        "digits", "digits, idx:DIR, tfds:NAME, images:DIR or npz:FILE; read once, by prepare."
    )
    records_dir: str = config_field(
        "data/digits", "Folder of the prepared TFRecords; made if it is not there.", changeable=True
    )
    shards: int = config_field(
        4, "TFRecord files, where there are as many images.", at_least=1, at_most=100_000
    )
    memory_budget_mib: int = config_field(
        2048, "A set that takes no more than this is kept in memory.", at_least=0
    )
    shuffle_buffer_images: int = config_field(
        20_000, "Images shuffled together when streaming from shards.", at_least=1
    )


@dataclasses.dataclass
class ModelConfig(Section):
    """Generator and discriminator."""

    architecture: Architecture = config_field("dcgan", "Of both networks; resnet: residual blocks.")
    resolution: int = config_field(
        28, "Height and width of the images, in pixels.", at_least=1, at_most=4096
    )
    channels: int = config_field(1, "1 for grey, 3 for RGB.", at_least=1, at_most=4)
    latent_dim: int = config_field(
        256, "Length of the latent vector z.", at_least=1, at_most=65_536
    )
    generator_filters: tuple[int, ...] = config_field(
        (128, 96, 64),
        "Channels after the dense layer, then after each block; a block doubles the resolution.",
        at_least=1,
        at_most=65_536,
    )
    generator_dense_units: int = config_field(
        0,
        "Units of a hidden dense layer after the latents; then dcgan normalises and activates its "
        "first feature map too. 0: neither.",
        at_least=0,
        at_most=65_536,
    )
    discriminator_filters: tuple[int, ...] = config_field(
        (64, 128),
        "Channels after each block; a block halves the resolution.",
        at_least=1,
        at_most=65_536,
    )
    discriminator_stem_filters: int = config_field(
        0,
        "dcgan: channels of a 3x3 convolution at full resolution before the blocks; 0: none.",
        at_least=0,
        at_most=65_536,
    )
    discriminator_dense_units: int = config_field(
        0,
        "dcgan: units of a hidden dense layer between the blocks and the logit; 0: none.",
        at_least=0,
        at_most=65_536,
    )
    generator_norm: Norm = config_field("batch", "Normalisation between its layers.")
    discriminator_norm: Norm = config_field("none", "Likewise; batch goes with no penalty.")
    spectral_norm: bool = config_field(
        False, "Divide every kernel of the discriminator by its largest singular value."
    )
    upsampling: Upsampling = config_field(
        "transposed",
        "dcgan: by transposed convolutions, or resize: nearest neighbour, then a convolution. "
        "resnet always resizes.",
    )
    num_classes: int = config_field(
        0,
        "Above 0: a conditional model of so many classes of labels.",
        at_least=0,
        at_most=1_000_000,
    )
    class_embedding_dim: int = config_field(
        32,
        "Numbers that a conditional generator appends to the latents; 0: none.",
        at_least=0,
        at_most=65_536,
    )
    dropout_rate: float = config_field(
        0.3, "Share of the discriminator's features dropped.", at_least=0, below=1
    )
    leaky_relu_slope: float = config_field(
        0.2, "Slope of LeakyReLU below zero.", at_least=0, below=1
    )
    precision: Precision = config_field(
        "float32", "bfloat16: layers compute in bfloat16 and keep float32 weights."
    )
    batch_norm_momentum: float = config_field(
        0.99, "Decay of BatchNorm's moving statistics, per step.", at_least=0, below=1
    )


@dataclasses.dataclass
class LossConfig(Section):
    """What the networks minimise; trainer/gan/losses.py and penalties.py have the formulas."""

    objective: ObjectiveName = config_field(
        "bce", "What both networks minimise; bce: binary cross-entropy."
    )
    real_label: float = config_field(
        0.9, "bce: target of D for real images; below 1 smooths.", above=0, at_most=1
    )
    penalty: PenaltyName = config_field("none", "Gradient penalty of D.")
    penalty_weight: float = config_field(10.0, "Factor of the penalty.", above=0)
    penalty_every_steps: int = config_field(
        1,
        "Discriminator steps from one penalty to the next, which then weighs as many times more.",
        at_least=1,
    )


@dataclasses.dataclass
class OptimizerConfig(Section):
    """The optimizer of one network; a step here is an update of that network."""

    name: OptimizerName = config_field("rmsprop", "Rule of the update.")
    learning_rate: float = config_field(
        5e-4, "Step size, at its largest.", above=0, changeable=True
    )
    warmup_steps: int = config_field(0, "Steps in which it grows from zero.", at_least=0)
    schedule: LearningRateSchedule = config_field(
        "constant", "How the learning rate falls after the warm-up."
    )
    decay_steps: int = config_field(
        0, "linear, cosine: steps of the fall; 0: to the end of the run.", at_least=0
    )
    final_share: float = config_field(
        0.0, "linear, cosine: share of the learning rate that stays.", at_least=0, at_most=1
    )
    beta_1: float = config_field(0.5, "adam, adamw: decay of the mean.", at_least=0, below=1)
    beta_2: float = config_field(0.999, "adam, adamw: decay of the square.", at_least=0, below=1)
    rho: float = config_field(0.9, "rmsprop: decay of the square.", at_least=0, below=1)
    momentum: float = config_field(0.0, "rmsprop, sgd: momentum.", at_least=0, below=1)
    weight_decay: float = config_field(
        0.004, "adamw: share of a weight taken off, per step and learning rate.", at_least=0
    )
    clip_norm: float = config_field(
        0.0, "Largest norm of a network's whole gradient; 0: any.", at_least=0
    )


@dataclasses.dataclass
class OptimizersConfig(Section):
    """One optimizer for each network."""

    generator: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=5e-4)
    )
    discriminator: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=5e-5)
    )


@dataclasses.dataclass
class TrainConfig(Section):
    """The loop."""

    global_batch_size: int = config_field(64, "Images an update, over all replicas.", at_least=1)
    group_size: int = config_field(
        0,
        "Images that a program computes at once and that share BatchNorm statistics; "
        "0: the whole batch is one group.",
        at_least=0,
    )
    discriminator_steps: int = config_field(
        1,
        "Updates of D before each of G, each with fresh images and noise.",
        at_least=1,
        at_most=1000,
    )
    update_order: UpdateOrder = config_field(
        "alternating",
        "alternating: G learns from the updated D; simultaneous: from the D before its last "
        "update.",
    )
    inference_mode_fakes: bool = config_field(
        False,
        "Train D on images drawn with BatchNorm's moving statistics, as a loop around Keras's "
        "predict() does; for comparison only, it tends to collapse.",
    )
    diff_augment: tuple[Augmentation, ...] = config_field(
        (), "For small sets: augmentation of all that D sees."
    )
    ema_half_life_images: int = config_field(
        0,
        "Images in which the share of old weights in the generator's average halves; 0: no "
        "average. Samples, grids and exports use the average.",
        at_least=0,
    )
    ema_ramp_up_share: float = config_field(
        0.05, "Early on, the half-life is this share of the images so far; 0: no ramp.", at_least=0
    )
    epochs: int = config_field(20, "Passes over the images.", at_least=1, changeable=True)
    steps: int = config_field(
        0, "Generator updates; 0: as many as `epochs` gives.", at_least=0, changeable=True
    )
    steps_per_call: int = config_field(
        1,
        "Steps that the host runs without returning to Python; 50 or more on a TPU.",
        at_least=1,
        changeable=True,
    )
    on_divergence: OnDivergence = config_field(
        "stop",
        "At NaN or infinity: stop, or rollback to the last checkpoint and take other batches.",
        changeable=True,
    )
    rollbacks_at_most: int = config_field(
        3, "Rollbacks of one run; the next divergence stops it.", at_least=1, changeable=True
    )
    jit_compile: JitCompile = config_field(
        "auto",
        "Compile the step with XLA; auto: except on a CPU whose own kernels are faster, and as "
        "a run went so far where it goes on.",
        changeable=True,
    )
    convolutions: Convolutions = config_field(
        "auto",
        "Form of the generator's, equal up to rounding; plain: as Keras has it; unit_stride: "
        "without strides; auto: the fastest on this device, of BatchNorm too.",
        changeable=True,
    )
    checkpoint_every_steps: int = config_field(
        500, "Steps between checkpoints.", at_least=1, changeable=True
    )
    checkpoints_to_keep: int = config_field(
        3, "Newest checkpoints kept.", at_least=1, changeable=True
    )
    log_every_steps: int = config_field(
        50, "Steps that one line of metrics averages over.", at_least=1, changeable=True
    )
    grid_every_epochs: int = config_field(
        1, "Epochs between grids of the fixed latents.", at_least=1, changeable=True
    )
    grid_images: int = config_field(64, "Images in a grid.", at_least=1, at_most=4096)


@dataclasses.dataclass
class EvaluationConfig(Section):
    """Quality of the generated images, during training and in --mode=evaluate."""

    every_epochs: int = config_field(
        0, "Epochs between evaluations during training; 0: none.", at_least=0, changeable=True
    )
    images: int = config_field(
        5_000,
        "Generated images, compared with as many real ones; the set must have twice as many.",
        at_least=10,
        changeable=True,
    )
    extractor: str = config_field(
        "auto",
        "Features: mnist (28x28 grey), records (a classifier trained on the records by "
        "trainer.evaluation.train_classifier), inception (the FID of papers, fetched once), random "
        "(untrained), the path of a Keras file, with "
        "--trust_saved_models of a SavedModel, or auto: records where there is one, else random.",
        changeable=True,
    )
    best_by: RankingMeasure = config_field(
        "fid", "Measure whose best checkpoint is kept in best/.", changeable=True
    )
    patience_evaluations: int = config_field(
        0, "Evaluations without a better one that end the run; 0: any.", at_least=0, changeable=True
    )
