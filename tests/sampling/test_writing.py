import functools
import logging
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainer.errors import DiskError, UserError
from trainer.sampling.sampler import BLOCK_IMAGES, IN_TURN
from trainer.sampling.writing import write_interpolations, write_samples


class FakeSampler:
    """In place of a `Sampler`: image i is all of i % 256, class i % 3."""

    generator = SimpleNamespace(image_shape=(64, 64, 3), num_classes=3)

    def images(self, seed: int, count: int, label: int = IN_TURN) -> Iterator[np.ndarray]:
        for first in range(0, count, BLOCK_IMAGES):
            values = np.arange(first, min(first + BLOCK_IMAGES, count)) % 256
            yield np.broadcast_to(
                values.astype(np.uint8)[:, None, None, None], (len(values), 64, 64, 3)
            )

    def labels(self, count: int, label: int = IN_TURN) -> np.ndarray:
        return np.arange(count) % 3


SAMPLER: Any = FakeSampler()


def test_an_npz_needs_no_memory_for_its_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trainer")
    count = 4000  # 49 MB
    tracemalloc.start()
    write_samples(SAMPLER, 0, count, str(tmp_path / "a.npz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
    assert "a.npz: 4,000 images, about " in caplog.text
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["images"].shape == (count, 64, 64, 3)
        assert arrays["images"].dtype == np.uint8 and arrays["labels"].dtype == np.int32
        np.testing.assert_array_equal(arrays["images"][:, 5, 7, 2], np.arange(count) % 256)
        np.testing.assert_array_equal(arrays["labels"], np.arange(count) % 3)


def test_a_folder_holds_one_drawing(tmp_path: Path) -> None:
    for count in (4, 4, 7):  # the same again and more write over what is there
        write_samples(SAMPLER, 0, count, str(tmp_path))
    before = sorted(path for path in tmp_path.rglob("*.png"))
    assert len(before) == 7
    with pytest.raises(
        UserError, match=r"0 holds 000006\.png of an earlier drawing, beyond --count=6"
    ):
        write_samples(SAMPLER, 1, 6, str(tmp_path))
    assert sorted(path for path in tmp_path.rglob("*.png")) == before


@pytest.mark.parametrize("name", ["a.npz", "folder"])
def test_no_room(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        UserError, match=r"000 images take about .* GB, and the disk has .* GB free: low"
    ):
        write_samples(SAMPLER, 0, 10**15, str(tmp_path / name))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_npz_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    def images(*arguments: int) -> Iterator[np.ndarray]:
        yield from FakeSampler.images(SAMPLER, 0, 2 * BLOCK_IMAGES)
        raise error

    write_samples(SAMPLER, 0, 3, str(tmp_path / "a.npz"))
    before = (tmp_path / "a.npz").read_bytes()
    monkeypatch.setattr(SAMPLER, "images", images)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else DiskError):
        write_samples(SAMPLER, 0, 5 * BLOCK_IMAGES, str(tmp_path / "a.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    assert (tmp_path / "a.npz").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["a.npy", "a.jpg", "a.JPEG", "a.gif", "a.mp4", "a.pdf", "a.json", "a.zip", "a.tar.gz"]
)
def test_other_files_do_not_become_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"samples are written as FILE\.png \(a grid\), FILE\.npz"):
        write_samples(SAMPLER, 0, 3, str(tmp_path / name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["grid.PNG", "all.NPZ", "run.v2", "a.b", "no_suffix", ".hidden"])
def test_names_in_capitals_and_with_dots(tmp_path: Path, name: str) -> None:
    write_samples(SAMPLER, 0, 3, str(tmp_path / name))
    assert (tmp_path / name).is_dir() == (name in ("run.v2", "a.b", "no_suffix", ".hidden"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", [".png", ".NPZ", "folder/.png", ".jpg"])
def test_a_suffix_is_no_name(tmp_path: Path, name: str) -> None:
    for write in (write_samples, functools.partial(write_interpolations, columns=2)):
        with pytest.raises(UserError, match=r"name before \.\w+ is missing"):
            write(SAMPLER, 0, 3, output=str(tmp_path / name))
    assert not list(tmp_path.iterdir())


def test_a_grid_has_a_limit(tmp_path: Path) -> None:
    output = str(tmp_path / "a.png")
    with pytest.raises(
        UserError, match=r"^--count=1000000000: a grid shows at most 10000 images; g"
    ):
        write_samples(SAMPLER, 0, 10**9, output)
    with pytest.raises(UserError, match=r"^--count=1001 of --interpolation_steps=10: .* fewer of"):
        write_interpolations(SAMPLER, 0, 1001, 10, output)
    with pytest.raises(UserError, match=r"--interpolation_steps=1: from one .* takes 2"):
        write_interpolations(SAMPLER, 0, 4, 1, output)
    with pytest.raises(UserError, match="drawn as a picture"):
        write_interpolations(SAMPLER, 0, 3, 4, str(tmp_path / "walk.npz"))


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.npz").mkdir()
    for name in ("file/a.npz", "file/a.png", "file", "folder.npz"):
        with pytest.raises(UserError, match="cannot be written"):
            write_samples(SAMPLER, 0, 3, str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.npz"]
