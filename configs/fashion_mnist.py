"""The settings of mnist.py on Fashion-MNIST: 60,000 pieces of clothing, 10 classes.

Paper:    Xiao, Rasul, Vollgraf 2017, https://arxiv.org/abs/1708.07747
Data:     idx files of Fashion-MNIST, such as Debian's package dataset-fashion-mnist
Prepare:  python -m trainer.data.prepare --source=idx:DIR --output=data/fashion_mnist
Command:  python -m trainer.main --config=configs/fashion_mnist.py --run_dir=runs/fashion_mnist
Time:     as mnist.py, 3.4 minutes an epoch on 2 cores
Result:   not run to the end here
"""

from configs import mnist
from trainer.config import Config


def get_config() -> Config:
    """mnist.py with other images."""
    config = mnist.get_config()
    config.data.source = "tfds:fashion_mnist"
    config.data.records_dir = "data/fashion_mnist"
    config.evaluation.extractor = "auto"
    return config
