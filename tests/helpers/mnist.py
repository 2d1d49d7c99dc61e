"""Where the real MNIST is, for the tests that need it."""

import os
from pathlib import Path

import pytest


def real_mnist_dir() -> str:
    """The folder of MNIST's four files: $MNIST_DIR, or ../shared/data/mnist; skips without it."""
    default = Path(__file__).parents[3] / "shared/data/mnist"
    folder = Path(os.environ.get("MNIST_DIR", default))
    if not any(folder.glob("t10k-images*")):
        pytest.skip(f"{folder} does not hold the real MNIST: set MNIST_DIR to the folder of it")
    return str(folder)
