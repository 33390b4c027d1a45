"""The files of a data set, as its layout lists them. What is listed need not exist: the check names what does not."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from compress.data.formats import IMAGE_ENDINGS, VOLUME_ENDINGS
from compress.data.labels import Labels
from compress.data.left_out import LeftOut
from compress.data.windows import Window
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Pair:
    """The files of one image and its mask, or a part of both.

    Attributes:
        image: The file of the image.
        mask: The file of the mask.
        window: The part of both files that is meant; None for the whole.
        area: The larger part that crops may be cut from; None for the whole window.
    """

    image: Path
    mask: Path
    window: Window | None = None
    area: Window | None = None


@dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        labels: How masks are read.
        train: The pairs of the training split.
        val: The pairs of the validation split.
        bands: The bands.txt, if there is one.
        left_out: The files of its folders that are not used.
        notes: What else the user should know, a line each.
    """

    labels: Labels
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    bands: Path | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def require_folder(folder: Path, spec: str) -> None:
    """Checks that a folder exists.

    Args:
        folder: The folder.
        spec: The value of `--data`, for the message.

    Raises:
        InputError: There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"--data {spec}: there is no folder {folder}; see docs/data.md for the layout")


def inner_folder(root: Path, holds: str, *inner: str) -> Path:
    """Finds the folder of a data set that was unpacked into the folder that the user gives.

    Args:
        root: The folder that the user gives.
        holds: The name of a folder that the data set holds.
        inner: Where the archive puts the data set, relative to `root`.

    Returns:
        The first of the inner folders that holds such a folder; `root` when none does.
    """
    return next((root / name for name in inner if (root / name / holds).is_dir()), root)


def stem(path: Path) -> str:
    """The name of a file without its ending.

    Args:
        path: The file.

    Returns:
        The name without an ending of IMAGE_ENDINGS or VOLUME_ENDINGS; the whole name when it has none of them.
    """
    known = (ending for ending in (*VOLUME_ENDINGS, *IMAGE_ENDINGS) if path.name.lower().endswith(ending))
    return path.name[: len(path.name) - len(next(known, ""))]


def same_name(name: str) -> str:
    """The form of a name by which names are compared.

    macOS decomposes accented letters (NFD) where Linux and Windows keep them whole (NFC).

    Args:
        name: The name of a file without its ending.

    Returns:
        The name in NFC.
    """
    return unicodedata.normalize("NFC", name)


def is_volume(path: Path) -> bool:
    """Whether a file is a NIfTI volume, by its ending.

    Args:
        path: The file.

    Returns:
        Whether the name ends as a volume's.
    """
    return path.name.lower().endswith(VOLUME_ENDINGS)


def unlisted(found: Iterable[Pair], *splits: Iterable[Pair]) -> tuple[LeftOut, ...]:
    """The images that no list of a split names.

    Args:
        found: All pairs of the data set.
        splits: The pairs of the splits.

    Returns:
        One group, or none.
    """
    listed = {pair.image for split in splits for pair in split}
    images = tuple(pair.image for pair in found if pair.image not in listed)
    return (LeftOut("images that no list names", images),) if images else ()


def read_list(path: Path, spec: str) -> list[str]:
    """Reads the list of a split.

    Args:
        path: A text file with one name a line.
        spec: The value of `--data`, for the message.

    Returns:
        The lines that are not empty.

    Raises:
        InputError: The list is missing or is not text.
    """
    try:
        text = path.read_text("utf-8-sig")
        if "\0" in text:
            raise ValueError("it has zero bytes")
        return [line.strip() for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:  # ValueError: not UTF-8
        raise InputError(f"--data {spec}: {path} cannot be read ({error}); see docs/data.md for the layout") from error
