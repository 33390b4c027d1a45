"""The files of a data set, as its layout lists them. What is listed need not exist: the check names what does not."""

from dataclasses import dataclass
from pathlib import Path

from compress.data.formats import IMAGE_ENDINGS, MASK_ENDINGS, VOLUME_ENDINGS
from compress.data.labels import Labels
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
    """

    labels: Labels
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    bands: Path | None = None


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


def match_by_stem(images: Path, masks: Path, spec: str) -> tuple[Pair, ...]:
    """Every image of a folder with the mask of the same stem."""
    for folder in (images, masks):
        require_folder(folder, spec)
    mask_of = by_stem(masks, MASK_ENDINGS)
    ending = next((mask.name[len(name) :] for name, mask in mask_of.items()), ".png")  # of a mask that is missing
    found = by_stem(images, IMAGE_ENDINGS)
    return tuple(Pair(image, mask_of.get(name, masks / (name + ending))) for name, image in found.items())


def by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """The images or volumes of a folder under their names without ending, in order of names."""
    endings = (*endings, *VOLUME_ENDINGS)
    return {stem(path): path for path in sorted(folder.iterdir()) if path.name.lower().endswith(endings)}


def stem(path: Path) -> str:
    """The name without an ending that is known; one ending has two dots."""
    known = (ending for ending in (*VOLUME_ENDINGS, *IMAGE_ENDINGS) if path.name.lower().endswith(ending))
    return path.name[: len(path.name) - len(next(known, ""))]


def is_volume(path: Path) -> bool:
    """Whether a file is a NIfTI volume, by its ending."""
    return path.name.lower().endswith(VOLUME_ENDINGS)


def read_list(path: Path, spec: str) -> list[str]:
    """The lines of a split list. Raises InputError when it is missing or no text."""
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--data {spec}: {path} cannot be read ({error}); see docs/data.md for the layout") from error
