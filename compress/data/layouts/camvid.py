"""CamVid in SegNet's copy (Badrinarayanan et al. 2017): 11 classes."""

from dataclasses import replace
from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.left_out import merged
from compress.data.matching import match_by_stem
from compress.data.pairs import Listing


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    return "trainannot, CamVid" if (root / "train").is_dir() and (root / "trainannot").is_dir() else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists `DIR/{train,val}/NAME.png` with `DIR/{train,val}annot/NAME.png`.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder DIR.
        seed: Not used, the splits are fixed.

    Returns:
        The pairs of both splits and the classes.

    Raises:
        InputError: A folder is missing, no image or no mask is found, or a name is there twice.
    """
    train, val = (match_by_stem(root / split, root / f"{split}annot", spec) for split in ("train", "val"))
    labels = replace(read_classes(Path(__file__).with_name("camvid.txt")), indexed=True)
    return Listing(labels, train.pairs, val.pairs, left_out=merged((*train.left_out, *val.left_out)))
