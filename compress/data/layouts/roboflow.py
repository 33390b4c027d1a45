"""Roboflow's export "Semantic Segmentation Masks": images and masks side by side, classes in `_classes.csv`."""

from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.left_out import merged
from compress.data.matching import Matched, masks_beside, match_beside
from compress.data.pairs import Listing, require_folder
from compress.data.splits import split_by_seed
from search_spaces.errors import InputError

CLASSES = "_classes.csv"


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    return f"train/{CLASSES}, Roboflow's semantic export" if (root / "train" / CLASSES).is_file() else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists `DIR/{train,valid}/NAME.jpg` with `NAME_mask.png` beside it. `test` is not read.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder DIR.
        seed: Draws the validation split where there is no folder `valid`.

    Returns:
        The pairs of both splits, and the classes of `train/_classes.csv`.

    Raises:
        InputError: A folder, the masks or the classes are missing, or the classes of the splits differ.
    """
    train = _split(root / "train", spec)
    labels = read_classes(root / "train" / CLASSES)
    folder = next((root / name for name in ("valid", "val") if (root / name).is_dir()), None)
    if folder is None:
        drawn = split_by_seed(train.pairs, root, seed, spec)
        return Listing(labels, drawn.train, drawn.val, left_out=train.left_out, notes=drawn.notes)
    val = _split(folder, spec)
    if read_classes(folder / CLASSES) != labels:
        raise InputError(f"{folder / CLASSES}: other classes than in {root / 'train' / CLASSES}; export the data again")
    return Listing(labels, train.pairs, val.pairs, left_out=merged((*train.left_out, *val.left_out)))


def _split(folder: Path, spec: str) -> Matched:
    require_folder(folder, spec)
    if not masks_beside(folder):
        raise InputError(f"--data {spec}: {folder} has no mask such as NAME_mask.png beside NAME.jpg")
    return match_beside(folder, spec)
