"""Files that are not what they were."""

from pathlib import Path


def flip_a_bit(path: Path, at: int | None = None) -> None:
    """Changes one bit of the byte at a place, or in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    """Drops the second half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_everywhere(path: Path) -> None:
    """Changes one bit in every 1000 bytes."""
    for at in range(0, path.stat().st_size, 1000):
        flip_a_bit(path, at)
