"""Published data sets in the layouts they are published in."""

import json
from dataclasses import replace
from pathlib import Path

from compress.data.labels import IGNORE, Labels, read_classes
from compress.data.pairs import Files, Pair, matched, need_folder, read_list

HERE = Path(__file__).parent
LANDCOVER = HERE.parent / "landcover"


def landcover(spec: str, _: Path) -> Files:
    listing = json.loads((LANDCOVER / "splits.json").read_text())
    names = tuple(listing["classes"])
    colours = tuple((r, g, b) for r, g, b in listing["colours"])

    def pairs(split: str) -> tuple[Pair, ...]:
        tiles = listing["splits"][split]
        return tuple(Pair(LANDCOVER / "images" / f"{t}.jpg", LANDCOVER / "masks" / f"{t}.png") for t in tiles)

    labels = Labels(names, colours, tuple(range(len(names))), (IGNORE,))
    return Files(labels, pairs("train"), pairs("val"))


def camvid(spec: str, folder: Path) -> Files:
    """SegNet's copy (Badrinarayanan et al. 2017): 11 classes."""
    train, val = (matched(folder / split, folder / f"{split}annot", spec) for split in ("train", "val"))
    return Files(read_classes(HERE / "camvid.txt"), train, val)


def voc(spec: str, folder: Path) -> Files:
    """Pascal VOC 2012 (Everingham et al. 2015). A mask that SegmentationClass lacks is taken from SegmentationClassAug,
    so lists that name the images of SBD (Hariharan et al. 2011) work."""
    root = _inside(folder, "ImageSets", "VOC2012", "VOCdevkit/VOC2012")
    masks, more = root / "SegmentationClass", root / "SegmentationClassAug"

    def pairs(split: str) -> tuple[Pair, ...]:
        stems = read_list(root / "ImageSets" / "Segmentation" / f"{split}.txt", spec)
        found = ((stem, masks / f"{stem}.png", more / f"{stem}.png") for stem in stems)
        return tuple(
            Pair(root / "JPEGImages" / f"{stem}.jpg", other if other.exists() and not mask.exists() else mask)
            for stem, mask, other in found
        )

    return Files(read_classes(HERE / "voc.txt"), pairs("train"), pairs("val"))


def cityscapes(spec: str, folder: Path) -> Files:
    """Cityscapes (Cordts et al. 2016): the 19 classes of its benchmark, from labelTrainIds where these were made."""
    labels = read_classes(HERE / "cityscapes.txt")
    train_ids = next(folder.glob("gtFine/train/*/*_gtFine_labelTrainIds.png"), None) is not None
    if train_ids:
        labels = replace(labels, values=tuple(range(len(labels.names))), void=(IGNORE,))
    ending = "_gtFine_labelTrainIds.png" if train_ids else "_gtFine_labelIds.png"

    def pairs(split: str) -> tuple[Pair, ...]:
        need_folder(folder / "leftImg8bit" / split, spec)
        images = sorted((folder / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
        masks = folder / "gtFine" / split
        return tuple(Pair(i, masks / i.parent.name / i.name.replace("_leftImg8bit.png", ending)) for i in images)

    return Files(labels, pairs("train"), pairs("val"))


def ade20k(spec: str, folder: Path) -> Files:
    """ADEChallengeData2016 (Zhou et al. 2017): 150 classes, 0 is void."""
    root = _inside(folder, "images", "ADEChallengeData2016")
    train, val = (matched(root / "images" / s, root / "annotations" / s, spec) for s in ("training", "validation"))
    return Files(read_classes(HERE / "ade20k.txt"), train, val)


def _inside(folder: Path, holds: str, *inner: str) -> Path:
    """The folder, or one inside it as the archive unpacks, that holds a folder of this name."""
    return next((folder / name for name in inner if (folder / name / holds).is_dir()), folder)
