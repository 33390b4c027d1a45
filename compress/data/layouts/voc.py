"""Pascal VOC 2012 (Everingham et al. 2015): 21 classes."""

from dataclasses import replace
from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.left_out import left_out_of, merged
from compress.data.pairs import Listing, Pair, inner_folder, read_list

BORDER = (224, 224, 192)  # the colour of void in masks that were saved again as RGB


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    root = inner_folder(root, "ImageSets", "VOC2012", "VOCdevkit/VOC2012")
    found = (root / "ImageSets/Segmentation/train.txt").is_file() and (root / "JPEGImages").is_dir()
    return "ImageSets/Segmentation, Pascal VOC" if found and not (root / "labelmap.txt").exists() else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists the images that `ImageSets/Segmentation/{train,val}.txt` name.

    A mask that SegmentationClass lacks is taken from SegmentationClassAug, so lists that name the images of SBD
    (Hariharan et al. 2011) work too. A line of a list is a name, or the two paths of an image and its mask.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder VOC2012, or one that holds it.
        seed: Not used, the splits are fixed.

    Returns:
        The pairs of both splits and the classes.

    Raises:
        InputError: A list is missing.
    """
    root = inner_folder(root, "ImageSets", "VOC2012", "VOCdevkit/VOC2012")
    masks, more = root / "SegmentationClass", root / "SegmentationClassAug"

    def pairs(split: str) -> tuple[Pair, ...]:
        lines = read_list(root / "ImageSets" / "Segmentation" / f"{split}.txt", spec)
        stems = [Path(line.split()[0]).stem if "/" in line else line for line in lines]
        found = ((stem, masks / f"{stem}.png", more / f"{stem}.png") for stem in stems)
        return tuple(
            Pair(root / "JPEGImages" / f"{stem}.jpg", other if other.exists() and not mask.exists() else mask)
            for stem, mask, other in found
        )

    train, val = pairs("train"), pairs("val")
    used = [pair.image for pair in (*train, *val)]
    left_out = left_out_of(root / "JPEGImages", (".jpg",), used, "images that no list names")
    labels = replace(read_classes(Path(__file__).with_name("voc.txt")), void_colours=(BORDER,), indexed=True)
    return Listing(labels, train, val, left_out=merged(left_out))
