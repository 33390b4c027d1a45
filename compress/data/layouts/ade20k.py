"""ADEChallengeData2016 (Zhou et al. 2017): 150 classes, 0 is void."""

from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.left_out import merged
from compress.data.matching import match_by_stem
from compress.data.pairs import Listing, inner_folder


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    root = inner_folder(root, "images", "ADEChallengeData2016")
    return "annotations/training, ADE20K" if (root / "annotations/training").is_dir() else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists `images/{training,validation}/NAME.jpg` with `annotations/{training,validation}/NAME.png`.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder ADEChallengeData2016, or one that holds it.
        seed: Not used, the splits are fixed.

    Returns:
        The pairs of both splits and the classes.

    Raises:
        InputError: A folder is missing, no image or no mask is found, or a name is there twice.
    """
    root = inner_folder(root, "images", "ADEChallengeData2016")
    images, masks = root / "images", root / "annotations"
    train, val = (match_by_stem(images / split, masks / split, spec) for split in ("training", "validation"))
    labels = read_classes(Path(__file__).with_name("ade20k.txt"))
    return Listing(labels, train.pairs, val.pairs, left_out=merged((*train.left_out, *val.left_out)))
