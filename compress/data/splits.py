"""Draws the validation split of a data set that has none."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from compress.data.groups import GROUPS, groups_of
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


@dataclass(frozen=True)
class Drawn:
    """A split that was drawn.

    Attributes:
        train: The pairs for training.
        val: The pairs for validation.
        notes: What the user should know, a line each.
    """

    train: Pairs
    val: Pairs
    notes: tuple[str, ...] = ()


def split_by_seed(pairs: Sequence[Pair], root: Path, seed: int, spec: str) -> Drawn:
    """Draws the validation split. Images of one group stay together (`compress.data.groups`).

    Args:
        pairs: All pairs of the data set, two or more.
        root: The folder of the data set, which may hold groups.txt.
        seed: The seed.
        spec: The value of `--data`, for messages.

    Returns:
        The pairs for training and those for validation, each in their order.

    Raises:
        InputError: There is only one pair or one group, or groups.txt is wrong.
    """
    if len(pairs) < 2:
        only = f"{pairs[0].image if pairs else root} is the only image"
        raise InputError(f"--data {spec}: {only}; give at least two, one for training and one for validation")
    groups, notes = groups_of(names_of(pairs), root, spec)
    count = len(set(groups))
    if count < 2:
        whole = f"all {len(pairs):,} images are one group, {groups[0].rstrip(',')}, which a split cuts apart"
        raise InputError(f"--data {spec}: {whole}; write smaller groups into {root / GROUPS}, or give the splits")
    held_out = draw_groups(groups, seed)
    train, val = (
        tuple(pair for pair, group in zip(pairs, groups, strict=True) if (group in held_out) == out)
        for out in (False, True)
    )
    if count < len(pairs):
        share = f"{len(held_out):,} of {count:,} groups, which are {len(val) / len(pairs):.0%} of the images"
        notes = (f"for validation are drawn {share}", *notes)
    return Drawn(train, val, notes)


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


def draw_groups(groups: Sequence[str], seed: int) -> set[str]:
    """Draws groups with about VAL_SHARE of the images, at least one group, for validation.

    Each group has a rank of its own, so the order of the images does not matter, and one more image moves hardly any.

    Args:
        groups: The group of each image, two or more different ones.
        seed: The seed.

    Returns:
        The groups that were drawn.
    """
    sizes, wanted = Counter(groups), max(1, round(VAL_SHARE * len(groups)))
    ranked = sorted(sizes, key=lambda group: _rank(group, seed))
    held_out: set[str] = set()
    count = 0
    for group in ranked:
        if abs(count + sizes[group] - wanted) < abs(count - wanted):  # not a group that is far too large
            held_out.add(group)
            count += sizes[group]
    return held_out or {min(ranked, key=lambda group: sizes[group])}


def _rank(name: str, seed: int) -> bytes:
    return sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()
