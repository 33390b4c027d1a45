"""Draws the validation split of a data set that has none."""

import os
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from compress.data.pairs import Pair, same_name, stem
from search_spaces.errors import InputError

SPLIT_WORDS = {  # of the names of folders and files
    "test": ("test", "testing"),
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
}
VAL_SHARE = 0.2  # of the images, where nothing says which are for validation

Pairs = tuple[Pair, ...]


def split_of(path: str) -> str:
    """The split that a path names, such as `data/train-00000.parquet`.

    Args:
        path: A path in the folder of a data set.

    Returns:
        `train`, `val` or `test`; nothing when the path names none.
    """
    words = set(re.findall("[a-z]+", path.lower()))
    return next((split for split, known in SPLIT_WORDS.items() if words & {*known}), "")


def split_by_seed(pairs: Sequence[Pair], root: Path, seed: int, spec: str) -> tuple[Pairs, Pairs]:
    """Draws the validation split.

    Args:
        pairs: All pairs of the data set, two or more.
        root: The folder of the data set.
        seed: The seed.
        spec: The value of `--data`, for messages.

    Returns:
        The pairs for training and those for validation, each in their order.

    Raises:
        InputError: There is only one pair.
    """
    if len(pairs) < 2:
        only = f"{pairs[0].image if pairs else root} is the only image"
        raise InputError(f"--data {spec}: {only}; give at least two, one for training and one for validation")
    names = dict(zip(pairs, names_of(pairs), strict=True))
    held_out = draw_validation([*names.values()], seed)
    train, val = (tuple(p for p, name in names.items() if (name in held_out) == out) for out in (False, True))
    return train, val


def names_of(pairs: Sequence[Pair]) -> list[str]:
    """The names by which images are drawn. They do not depend on where the data set is.

    Args:
        pairs: All pairs of the data set.

    Returns:
        The name of each image without its ending. Where images are in several folders, the path from the folder that
        holds them all.
    """
    above = Path(os.path.commonpath([pair.image.parent.absolute() for pair in pairs]))
    paths = [pair.image.absolute().relative_to(above) for pair in pairs]
    return [same_name((path.parent / stem(path)).as_posix()) for path in paths]


def draw_validation(names: Sequence[str], seed: int) -> set[str]:
    """Draws VAL_SHARE of the names, at least one, for validation.

    Each name has a rank of its own, so the order of the names does not matter, and one more file moves hardly any.

    Args:
        names: The names of all images without their endings.
        seed: The seed.

    Returns:
        The names that were drawn.
    """
    ranked = sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest())
    return set(ranked[: max(1, round(VAL_SHARE * len(names)))])
