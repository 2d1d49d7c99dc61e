"""The candidates of the input bench that read by PyTorch's DataLoader."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bench.reader import Reader
from trainer.cli import cpu


class ImageFiles(Dataset[torch.Tensor]):
    """PNG files, decoded by Pillow as torchvision's ImageFolder does."""

    def __init__(self, folder: str) -> None:
        self.paths = sorted(Path(folder).rglob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        """One image, uint8 [H, W, C]."""
        return torch.from_numpy(np.array(Image.open(self.paths[index]).convert("RGB")))


def arrays(path: str, batch_size: int) -> Reader:
    """Images and labels in memory, from an npz: a TensorDataset, no worker."""
    with np.load(path) as found:
        tensors = [torch.from_numpy(found[name]) for name in ("images", "labels")]
    return _reader(TensorDataset(*tensors), batch_size, workers=0)


def files(folder: str, batch_size: int) -> Reader:
    """A worker for each core."""
    assert os.path.isdir(folder), folder
    return _reader(ImageFiles(folder), batch_size, workers=cpu.cores())


def _reader(dataset: Dataset[Any], batch_size: int, workers: int) -> Reader:
    loader = DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )
    return Reader(_epoch_after_epoch(loader))


def _epoch_after_epoch(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader
