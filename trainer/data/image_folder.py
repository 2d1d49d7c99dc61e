"""A folder of photographs, of which sub-folders are classes."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from trainer.errors import DiskError, UserError, some_of
from trainer.storage.disk import naming_the_disk

log = logging.getLogger(__name__)

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's names by the number of channels."""

_SUFFIXES = (".png", ".jpg", ".jpeg")


def holds_pictures(folder: str) -> bool:
    """Whether there is a picture somewhere below a folder, by its name."""
    return any(path.suffix.lower() in _SUFFIXES for path in Path(folder).rglob("*"))


def image_files(root: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The .png, .jpg and .jpeg files below a folder, relative to it, and the class folders.

    Raises:
        UserError: there are none, or some lie beside class folders.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give one with .png or .jpg files.")
    # Names with a dot in front are litter of other programs, such as macOS's ._photo.jpg.
    files = sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in _SUFFIXES
        and not path.is_dir()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not files:
        raise UserError(f"{root} holds no .png, .jpg or .jpeg file: give the folder with them.")
    class_names = in_natural_order({file.parts[0] for file in files if len(file.parts) > 1})
    loose = next((file for file in files if len(file.parts) == 1), None)
    if class_names and loose:
        raise UserError(
            f"{root / loose} lies beside class folders such as {class_names[0]}: "
            "move it into one of them."
        )
    folders = {path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."}
    if class_names and (empty := folders - set(class_names)):
        log.warning("no classes, having no images: %s", some_of(in_natural_order(empty)))
    return files, class_names


def in_natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names by the numbers in them, 2 before 10, and else by their characters, on any machine."""

    def key(name: str) -> tuple[list[str | int], str]:
        parts = re.split("([0-9]+)", name)
        return [int(part) if i % 2 else part for i, part in enumerate(parts)], name

    return tuple(sorted(names, key=key))


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as uint8 [H, W, C], C of 1, 3 or 4, upright.

    Raises:
        UserError: it is broken, or has more than 8 bits a channel.
        DiskError: the disk refuses to read it.
    """
    if not path.is_file():
        raise UserError(f"{path} is no file, or a link to none: mend or delete it.")
    try:
        with naming_the_disk(str(path)), Image.open(path) as file:
            # Cameras store which way is up; a GAN would learn photos lying on their side.
            picture = ImageOps.exif_transpose(file)
    except DiskError:
        raise
    # Of odd files also struct.error, TypeError, AttributeError (EXIF), RuntimeError (AVIF).
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as an image ({error}): mend or delete it."
        ) from error
    if picture.mode.startswith(("I", "F")):
        raise UserError(f"{path} has more than 8 bits a channel: save it with 8.")
    if picture.mode not in MODES.values():
        picture = picture.convert("RGB")
    return np.asarray(picture).reshape(picture.height, picture.width, -1)


def is_grey(path: Path) -> bool:
    """Whether an image file has no colours, by its head; a broken one has none either."""
    try:
        with Image.open(path) as file:
            return file.mode in ("1", "L")
    except Exception:  # read_image tells what is wrong with it
        return True


def as_picture(image: npt.NDArray[np.uint8]) -> Image.Image:
    """An image uint8 [H, W, C], C of 1, 3 or 4, as Pillow has it."""
    return Image.fromarray(image[:, :, 0] if image.shape[-1] == 1 else image)


def with_channels(image: npt.NDArray[np.uint8], channels: int) -> npt.NDArray[np.uint8]:
    """An image uint8 [H, W, C] with 1 (grey), 3 (RGB) or 4 (RGBA) channels."""
    if image.shape[-1] == channels:
        return image
    return np.asarray(as_picture(image).convert(MODES[channels])).reshape(*image.shape[:2], -1)
