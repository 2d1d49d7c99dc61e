"""mnist.py with more weights and a longer run: latent 512, twice the channels, 100 epochs.

Paper:    Radford, Metz, Chintala 2015, https://arxiv.org/abs/1511.06434
Prepare:  as mnist.py
Command:  python -m trainer.main --config=configs/mnist_large.py --run_dir=runs/mnist_large
Time:     8.6 minutes an epoch on 2 cores of an AMD EPYC (2026-11-22)
Result:   not run to the end here

G: 7.6 million weights, D: 0.54 million.
"""

from configs import mnist
from trainer.config import Config


def get_config() -> Config:
    """mnist.py, larger and longer."""
    config = mnist.get_config()
    config.model.latent_dim = 512
    config.model.generator_filters = (256, 192, 128)
    config.model.discriminator_filters = (128, 256)
    config.train.epochs = 100
    config.train.grid_every_epochs = 5
    return config
