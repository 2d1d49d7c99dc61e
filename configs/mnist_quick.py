"""mnist_best.py in two epochs: MNIST digits in ten minutes of two cores.

Papers:   as mnist_best.py
Prepare:  as mnist.py
Command:  python -m trainer.main --config=configs/mnist_quick.py --run_dir=runs/mnist_quick
Time:     TIME
Result:   RESULT

The learning rate falls over the two epochs: this is not mnist_best.py cut short.
"""

from configs import mnist_best
from trainer.config import Config


def get_config() -> Config:
    """mnist_best.py, shorter."""
    config = mnist_best.get_config()
    config.train.epochs = 2
    return config
