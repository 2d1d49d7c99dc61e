"""Files that are not what they were."""

from pathlib import Path


def flip_a_bit(path: Path, at: int | None = None) -> None:
    """Changes one bit of the byte at a place, or in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)
