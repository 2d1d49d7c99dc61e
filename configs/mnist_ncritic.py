"""mnist.py with three discriminator steps a generator step.

Paper:    Goodfellow et al. 2014, algorithm 1 with k = 3, https://arxiv.org/abs/1406.2661
Prepare:  as mnist.py
Command:  python -m trainer.main --config=configs/mnist_ncritic.py --run_dir=runs/mnist_ncritic
Time:     2.0 minutes an epoch on 2 cores of an AMD EPYC (2026-11-22)
Result:   not run to the end here

An epoch is a pass over the images by the discriminator; the generator makes a third of the
updates that it makes in mnist.py.
"""

from configs import mnist
from trainer.config import Config


def get_config() -> Config:
    """mnist.py, k = 3."""
    config = mnist.get_config()
    config.train.discriminator_steps = 3
    return config
