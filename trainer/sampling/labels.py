"""Classes as users name them: `--label=cat`, `--label=7`, folders of samples."""

import difflib
import re
import unicodedata

from trainer.errors import UserError, some_of
from trainer.sampling.sampler import IN_TURN

_FOLDER_CHARACTERS = 60


def label_of(text: str | None, num_classes: int, class_names: tuple[str, ...]) -> int:
    """The label that --label gives, by name or by number; `IN_TURN` where it is left out.

    Where a class is named by a number, as a folder `7` is, all numbers are names. Characters with
    marks count as one however they are put together: macOS decomposes them in names of files.

    Args:
        text: what the user gave.
        num_classes: of the model; 0 where it was trained without labels.
        class_names: in the order of the labels; empty where they are unknown.

    Raises:
        UserError: there is no such class; names the nearest, and those that there are.
    """
    if text is None:
        return IN_TURN
    if not num_classes:
        raise UserError(
            f"--label={text}: this model was trained without labels; leave the flag out, or train "
            "one with --config.model.num_classes."
        )
    if len(class_names) != num_classes:
        class_names = ()  # of other records than the model's
    # As it is, or else composed.
    for name, names in ((text, class_names), (_composed(text), tuple(map(_composed, class_names)))):
        if name in names:
            return names.index(name)
    named_by_number = any(name.isdecimal() for name in class_names)
    if not named_by_number and text in map(str, range(num_classes)):
        return int(text)
    near = difflib.get_close_matches(text, class_names, n=1)
    known = [f"did you mean {near[0]}?"] if near else []
    known += [] if named_by_number else [f"The labels are 0 to {num_classes - 1}."]
    known += [f"The classes are {some_of(class_names)}."] if class_names else []
    raise UserError(f"--label={text} is no class: {' '.join(known)}")


def folder_names(class_names: tuple[str, ...], num_classes: int) -> list[str]:
    """A folder for each label.

    Its name, without what a file name had better not hold; or its number, where the names are
    unknown or one folder would do for two of them.
    """
    safe = [
        re.sub(r"[^\w .+=-]+", "-", _composed(name))[:_FOLDER_CHARACTERS].strip(" .")
        for name in class_names
    ]
    distinct = {name.casefold() for name in safe} - {""}
    return safe if len(distinct) == num_classes else [str(label) for label in range(num_classes)]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
