"""Cityscapes, fine annotations (Cordts et al. 2016): the 19 classes of its benchmark."""

from dataclasses import replace
from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.labels import IGNORE
from compress.data.left_out import LeftOut, merged
from compress.data.pairs import Listing, Pair, require_folder


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    return (
        "leftImg8bit and gtFine, Cityscapes" if (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir() else ""
    )


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists `leftImg8bit/{train,val}/CITY/*.png` with their masks in `gtFine`.

    Masks are read from labelTrainIds where the training split has them, and from labelIds elsewhere.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder that holds leftImg8bit and gtFine.
        seed: Not used, the splits are fixed.

    Returns:
        The pairs of both splits and the classes.

    Raises:
        InputError: A folder is missing.
    """
    labels = replace(read_classes(Path(__file__).with_name("cityscapes.txt")), indexed=True)
    train_ids = next(root.glob("gtFine/train/*/*_gtFine_labelTrainIds.png"), None) is not None
    if train_ids:
        labels = replace(labels, values=tuple(range(len(labels.names))), void=(IGNORE,))
    ending = "_gtFine_labelTrainIds.png" if train_ids else "_gtFine_labelIds.png"

    def pairs(split: str) -> tuple[Pair, ...]:
        require_folder(root / "leftImg8bit" / split, spec)
        images = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
        masks = root / "gtFine" / split
        return tuple(Pair(i, masks / i.parent.name / i.name.replace("_leftImg8bit.png", ending)) for i in images)

    train, val = pairs("train"), pairs("val")
    left_out = [
        group for split, listed in (("train", train), ("val", val)) for group in _left_out(root, split, ending, listed)
    ]
    return Listing(labels, train, val, left_out=merged(left_out))


def _left_out(root: Path, split: str, ending: str, pairs: tuple[Pair, ...]) -> list[LeftOut]:
    """Images of another name or in another depth of folders, and masks without an image."""
    images, masks = {pair.image for pair in pairs}, {pair.mask for pair in pairs}
    groups = {
        "images that are not CITY/NAME_leftImg8bit.png": (root / "leftImg8bit" / split).rglob("*.png"),
        "masks without an image": (root / "gtFine" / split).rglob(f"*{ending}"),
    }
    found = {reason: tuple(sorted({*files} - images - masks)) for reason, files in groups.items()}
    return [LeftOut(reason, files) for reason, files in found.items() if files]
