"""The files of a data set, as its layout lists them. What is listed need not exist: the check names what does not."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from compress.data.formats import IMAGE_ENDINGS, MASK_ENDINGS, VOLUME_ENDINGS
from compress.data.labels import Labels
from compress.data.left_out import LeftOut, is_hidden, left_out_of
from compress.data.missing import explain_no_images, explain_no_masks
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Pair:
    """The files of one image and its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        labels: How masks are read.
        train: The pairs of the training split.
        val: The pairs of the validation split.
        bands: The bands.txt, if there is one.
        left_out: The files of its folders that are not used.
    """

    labels: Labels
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    bands: Path | None = None
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Matched:
    """The images of a folder with their masks.

    Attributes:
        pairs: The pairs, in the order of the images' names.
        left_out: The files of both folders that are in no pair.
    """

    pairs: tuple[Pair, ...]
    left_out: tuple[LeftOut, ...]


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


def match_by_stem(images: Path, masks: Path, spec: str) -> Matched:
    """Finds the mask of every image of a folder: the one with the same name but for the ending.

    Args:
        images: The folder of the images.
        masks: The folder of the masks.
        spec: The value of `--data`, for messages.

    Returns:
        A pair for each image. A mask that is missing is listed under the name that it should have.

    Raises:
        InputError: A folder is missing, a name is there twice, or no image or no mask is found.
    """
    for folder in (images, masks):
        require_folder(folder, spec)
    image_of, mask_of = by_stem(images, IMAGE_ENDINGS, spec), by_stem(masks, MASK_ENDINGS, spec)
    if not image_of:
        raise InputError(f"--data {spec}: {explain_no_images(images)}")
    if not image_of.keys() & mask_of.keys():
        raise InputError(f"--data {spec}: {explain_no_masks(image_of, masks, MASK_ENDINGS)}")
    ending = next(mask.name[len(stem(mask)) :] for mask in mask_of.values())  # of a mask that is missing
    pairs = tuple(Pair(image, mask_of.get(name, masks / f"{stem(image)}{ending}")) for name, image in image_of.items())
    left_out = (
        *left_out_of(images, IMAGE_ENDINGS + VOLUME_ENDINGS, [pair.image for pair in pairs], "images"),
        *left_out_of(masks, MASK_ENDINGS + VOLUME_ENDINGS, [pair.mask for pair in pairs], "masks without an image"),
    )
    return Matched(pairs, left_out)


def by_stem(folder: Path, endings: tuple[str, ...], spec: str) -> dict[str, Path]:
    """Lists the images or volumes of a folder.

    Args:
        folder: The folder. Its sub-folders are not looked into.
        endings: The endings of the images; those of volumes are added.
        spec: The value of `--data`, for the message.

    Returns:
        The files under their `same_name`, in order of their names.

    Raises:
        InputError: Two files differ in nothing but the ending.
    """
    readable = (*endings, *VOLUME_ENDINGS)
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(readable) and not is_hidden(path):
            found[same_name(stem(path))].append(path)
    twice = [paths for paths in found.values() if len(paths) > 1]
    if twice:
        names = " and ".join(path.name for path in twice[0])
        count = f"{len(twice)} names are there twice" if len(twice) > 1 else "a name is there twice"
        raise InputError(f"--data {spec}: {folder}: {count}, such as {names}; keep one file of each name")
    return {name: paths[0] for name, paths in found.items()}


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
