"""The recipe of mnist_best.py on Fashion-MNIST.

Paper:    Xiao, Rasul, Vollgraf 2017, https://arxiv.org/abs/1708.07747
Prepare:  as fashion_mnist.py
Command:  python -m trainer.main --config=configs/fashion_mnist_best.py \\
              --run_dir=runs/fashion_mnist_best
Time:     as mnist_best.py
Result:   not run to the end here
"""

from configs import mnist_best
from trainer.config import Config


def get_config() -> Config:
    """mnist_best.py with other images."""
    config = mnist_best.get_config()
    config.data.source = "tfds:fashion_mnist"
    config.data.records_dir = "data/fashion_mnist"
    config.evaluation.extractor = "auto"
    return config
