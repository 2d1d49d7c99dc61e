"""mnist.py as a Wasserstein GAN with gradient penalty: five critic steps a generator step.

Paper:    Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028
Prepare:  as mnist.py
Command:  python -m trainer.main --config=configs/mnist_wgan_gp.py --run_dir=runs/mnist_wgan_gp
Time:     2.1 minutes an epoch on 2 cores of an AMD EPYC (2026-11-22)
Result:   after 3 epochs a quarter of the samples legible, worse than mnist.py, docs/LOG.md
          (2026-11-22); not run to the end here

The critic sees each image once an epoch, so the generator makes a fifth of the updates that
it makes in mnist.py. Adam with the settings of the authors' MNIST script; no dropout.
"""

from configs import mnist
from trainer.config import Config, LossConfig, OptimizerConfig, OptimizersConfig


def get_config() -> Config:
    """The networks of mnist.py with the paper's objective, penalty and optimizers."""
    config = mnist.get_config()
    config.model.dropout_rate = 0.0
    config.loss = LossConfig(objective="wasserstein", penalty="wgan_gp", penalty_weight=10.0)
    config.optimizer = OptimizersConfig(
        generator=OptimizerConfig(name="adam", learning_rate=1e-4, beta_1=0.5, beta_2=0.9),
        discriminator=OptimizerConfig(name="adam", learning_rate=1e-4, beta_1=0.5, beta_2=0.9),
    )
    config.train.discriminator_steps = 5
    return config
