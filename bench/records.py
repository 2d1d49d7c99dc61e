"""The sets that benches read: MNIST if it is prepared here, and made-up ones of known shape."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from bench.report import RESULTS_DIR
from trainer.data.preparation import prepare
from trainer.data.tfrecord import has_manifest

MNIST = "data/mnist"
PHOTO_PIXELS = 128

_MADE_DIR = os.path.join(RESULTS_DIR, "sets")


def digits() -> str:
    """Folder of the records of configs/digits.py."""
    name = os.path.join(_MADE_DIR, "digits")
    prepare("digits", name)
    return name


def mnist_or_alike() -> str:
    """Folder of 60,000 records of 28x28x1: MNIST, else as many digits of scikit-learn's."""
    return MNIST if has_manifest(MNIST) else made(60_000)


def made(count: int, shards: int = 4) -> str:
    """Folder of `count` records of digits, 28x28x1, one of 1,797 after the other."""
    name = os.path.join(_MADE_DIR, f"digits_{count}_{shards}")
    if not has_manifest(name):
        # scikit-learn takes seconds to import.
        from bench.step import resident_batch

        digits = resident_batch(1_797)
        chosen = np.arange(count) % len(digits)
        os.makedirs(_MADE_DIR, exist_ok=True)
        np.savez(f"{name}.npz", images=digits[chosen], labels=chosen % 10)
        prepare(f"npz:{name}.npz", name, shards)
        os.remove(f"{name}.npz")
    return name


def photos(count: int) -> tuple[str, str]:
    """`count` PNG files of 128x128x3 that compress as photographs do, and records of them.

    Returns:
        The folder of the files, in one sub-folder, and that of the records, PNG inside too.
    """
    files, records = (os.path.join(_MADE_DIR, f"photos_{count}{end}") for end in ("", "_records"))
    if not has_manifest(records):
        folder = Path(files, "class")
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            photo(index).save(folder / f"{index:05d}.png")
        prepare(f"images:{files}", records, resolution=PHOTO_PIXELS)
    return files, records


def photo(index: int) -> Image.Image:
    """Smooth blots of colour with a little noise."""
    random = np.random.default_rng(index)
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
    smooth = np.asarray(coarse.resize((PHOTO_PIXELS, PHOTO_PIXELS), Image.Resampling.BICUBIC))
    noisy = smooth + random.normal(0, 3, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
