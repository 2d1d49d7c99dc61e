"""The IDX files of MNIST, as a source."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.examples import as_set, pixels, read
from trainer.data.sources import open_source
from trainer.errors import UserError


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX format as its specification writes it: magic, big-endian sizes, bytes."""
    return (
        bytes([0, 0, 8, array.ndim])
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.tobytes()
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize(("kind", "stem"), [("idx", "train"), ("idx-test", "t10k")])
def test_idx(tmp_path: Path, compressed: bool, dot: str, kind: str, stem: str) -> None:
    images, labels = pixels(6, 5, 5), np.array([0, 1, 2, 0, 1, 2], np.uint8)
    for what, array in (("images", images), ("labels", labels)):
        data, name = idx_bytes(array), f"{stem}-{what}{dot}idx{array.ndim}-ubyte"
        (tmp_path / name).write_bytes(data)
        if compressed:
            (tmp_path / name).rename(tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
    source = open_source(f"{kind}:{tmp_path}")
    assert source.class_names == ("0", "1", "2")
    assert source.image_shape == (5, 5, 1)
    assert as_set(read(source)) == as_set(list(zip(images, labels.tolist(), strict=True)))


def test_idx_without_labels(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(pixels(3, 4, 4)))
    assert read(open_source(f"idx:{tmp_path}"))[0][1] == -1


THREE = idx_bytes(pixels(3, 4, 4))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("images-idx3-ubyte", idx_bytes(pixels(3, 4)), "begins with 2050, .* with 2051"),
        ("images-idx3-ubyte", b"", "begins with 0"),
        ("images-idx3-ubyte", THREE[:-1], "63 bytes .* says 64"),
        ("images-idx3-ubyte", THREE + b"x", "65 bytes .* says 64"),
        ("images-idx3-ubyte.gz", b"not gzip", "cannot be read .*download it again"),
        ("images-idx3-ubyte.gz", gzip.compress(THREE)[:-9], "cannot be read .*download it again"),
        ("labels-idx1-ubyte", THREE, "begins with 2051, .* with 2049"),
        ("labels-idx1-ubyte", idx_bytes(pixels(2)), "has 3 images and 2 labels"),
    ],
    # Not made from the bytes: those of gzip hold the time.
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_broken_idx(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    if "labels" in name:
        (tmp_path / "train-images-idx3-ubyte").write_bytes(THREE)
    (tmp_path / f"train-{name}").write_bytes(data)
    with pytest.raises(UserError, match=message):
        open_source(f"idx:{tmp_path}")
