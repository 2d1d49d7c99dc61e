import re

import pytest

from trainer.errors import UserError
from trainer.sampling.labels import folder_names, label_of
from trainer.sampling.sampler import IN_TURN

ANIMALS = ("cat", "dog", "fire truck")
MONTHS = tuple(str(month) for month in range(1, 13))


@pytest.mark.parametrize(
    "text, num_classes, names, label",
    [
        (None, 0, (), IN_TURN),
        (None, 3, ANIMALS, IN_TURN),
        ("dog", 3, ANIMALS, 1),
        ("2", 3, ANIMALS, 2),
        ("2", 3, (), 2),
        ("2", 12, MONTHS, 1),  # the folder of this name, not the third one
        ("12", 12, MONTHS, 11),
        ("-1", 2, ("-1", "1"), 0),
        ("caf\u00e9", 2, ("bar", "cafe\u0301"), 1),  # as macOS stores it
        ("cafe\u0301", 2, ("bar", "caf\u00e9"), 1),
        ("cafe\u0301", 2, ("caf\u00e9", "cafe\u0301"), 1),
    ],
)
def test_a_label_by_name_or_number(
    text: str | None, num_classes: int, names: tuple[str, ...], label: int
) -> None:
    assert label_of(text, num_classes, names) == label


@pytest.mark.parametrize(
    "text, num_classes, names, message",
    [
        ("3", 3, (), "--label=3 is no class: The labels are 0 to 2."),
        ("dgo", 3, ANIMALS, "did you mean dog? The labels are 0 to 2. The classes are cat, dog, "),
        ("0", 12, MONTHS, "did you mean 10? The classes are 1, 2, "),
        ("-1", 3, (), "--label=-1 is no class"),
        ("x", 12, MONTHS, "The classes are 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ... (12 in all)."),
        ("9" * 5000, 3, (), "is no class"),
        ("\u0663", 9, (), "is no class"),
        ("", 3, ANIMALS, "--label= is no class"),
        ("0", 0, (), "--label=0: this model was trained without labels; leave the flag out"),
        ("cat", 0, ANIMALS, "--label=cat: this model was trained without labels"),
        ("e", 3, ("a", "b", "c", "d", "e"), "--label=e is no class: The labels are 0 to 2."),
    ],
)
def test_a_label_that_is_unknown(
    text: str, num_classes: int, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        label_of(text, num_classes, names)


@pytest.mark.parametrize(
    "names, folders",
    [
        (("cat", "fire truck"), ["cat", "fire truck"]),
        (("a/b", "..x"), ["a-b", "x"]),
        (("caf\u00e9", "caf\udce9"), ["caf\u00e9", "caf-"]),
        (("cafe\u0301", "tea"), ["caf\u00e9", "tea"]),
        (("caf\u00e9", "cafe\u0301"), ["0", "1"]),
        (("x" * 300, "y"), ["x" * 60, "y"]),
        (("a/b", "a-b"), ["0", "1"]),
        (("Cat", "cat"), ["0", "1"]),
        (("..", "a"), ["0", "1"]),
        ((), ["0", "1"]),
        (("of an", "other", "run"), ["0", "1"]),
    ],
)
def test_folders_are_safe_and_distinct(names: tuple[str, ...], folders: list[str]) -> None:
    assert folder_names(names, 2) == folders
