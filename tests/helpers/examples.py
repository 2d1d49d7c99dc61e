"""Arrays that tests are fed with, and what comes out of sources."""

from pathlib import Path

import numpy as np

from trainer.data.preparation import prepare
from trainer.data.sources import Source


def pixels(count: int, *shape: int) -> np.ndarray:
    """Random images, uint8 [count, *shape]."""
    return np.random.default_rng(5).integers(0, 256, [count, *shape], np.uint8)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def prepared(
    folder: Path, images: np.ndarray, labels: np.ndarray | None = None, shards: int = 2
) -> str:
    """The folder of records of images; an .npz file of the images lies beside it."""
    arrays = {"images": images} | ({} if labels is None else {"labels": labels})
    np.savez(folder / "images.npz", **arrays)
    prepare(f"npz:{folder / 'images.npz'}", str(folder / "records"), shards)
    return str(folder / "records")


def as_set(examples: list[tuple[np.ndarray, int]]) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), label) for image, label in examples}


def read(source: Source) -> list[tuple[np.ndarray, int]]:
    """Every image with its label, after a look at their shapes and ranges."""
    examples = list(source.examples())
    assert len(examples) == source.num_images
    for image, label in examples:
        assert image.shape == source.image_shape and image.dtype == np.uint8
        assert (0 <= label < len(source.class_names)) if source.class_names else label == -1
    return examples
