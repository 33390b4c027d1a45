"""Tiny data sets of every layout, written in the layouts they are published in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from PIL import Image

import compress.data.layouts
from compress.data.classes_file import read_classes
from compress.data.labels import IGNORE

CLASSES = 3

SIZE = (40, 48)  # H, W


@dataclass(frozen=True)
class Example:
    """One image with the class map that its mask file stands for."""

    image: Path
    mask: Path
    pixels: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Made:
    spec: str
    classes: int
    train: list[Example]
    val: list[Example]


def coloured(class_map: np.ndarray) -> np.ndarray:
    """An image H,W,3 whose colours are those of its classes."""
    return np.stack([class_map * 80 + 40, 200 - class_map * 60, class_map * 20], axis=-1).astype(np.uint8)


def drawing(rng: np.random.Generator, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image, which JPEG keeps, and a class map in blocks with some void."""
    truth = np.kron(rng.integers(0, classes, (5, 6)), np.ones((8, 8))).astype(np.uint8)
    truth[:2] = IGNORE
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    offset = rng.integers(0, 80, 3)
    return np.stack([rows + offset[0], columns + offset[1], rows + columns + offset[2]], -1).astype(np.uint8), truth


def save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))


def write(
    spec: str, classes: int, names: list[tuple[Path, Path]], train: int, encode: Callable[[np.ndarray], np.ndarray]
) -> Made:
    rng = np.random.default_rng(classes)
    examples = []
    for image, mask in names:
        pixels, truth = drawing(rng, classes)
        save(pixels, image)
        save(encode(truth), mask)
        examples.append(Example(image, mask, pixels, truth))
    return Made(spec, classes, examples[:train], examples[train:])


def by_value(values: list[int], void: int = IGNORE) -> Callable[[np.ndarray], np.ndarray]:
    """Encodes class indices as the values a kind of mask has for them."""
    table = np.full(256, void, np.uint8)
    table[: len(values)] = values
    return lambda truth: table[truth]


def camvid(root: Path) -> Made:
    names = [(root / s / f"{i}.png", root / f"{s}annot" / f"{i}.png") for s in ("train", "val") for i in range(3)]
    return write(f"camvid:{root}", 11, names, 3, by_value(list(range(11)), void=11))


def voc(root: Path) -> Made:
    """Train image 2 has its mask in SegmentationClassAug only."""
    year = root / "VOCdevkit" / "VOC2012"
    names = [(year / f"JPEGImages/2007_{i}.jpg", year / f"SegmentationClass/2007_{i}.png") for i in range(5)]
    names[2] = (names[2][0], year / "SegmentationClassAug" / "2007_2.png")
    made = write(f"voc:{root}", 21, names, 3, by_value(list(range(21))))
    for example in made.train[:2] + made.val:  # as published: with a palette
        image = Image.open(example.mask)
        image.putpalette([component for i in range(256) for component in (i, 255 - i, i // 2)])
        image.save(example.mask)
    for split, examples in (("train", made.train), ("val", made.val)):
        file = year / "ImageSets" / "Segmentation" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{example.image.stem}\n" for example in examples))
    return made


CITYSCAPES_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def cityscapes(root: Path) -> Made:
    return _cityscapes(root, "labelIds", by_value(CITYSCAPES_IDS, void=4))


def cityscapes_train_ids(root: Path) -> Made:
    """labelIds lie beside the train ids and are not looked at."""
    made = _cityscapes(root, "labelTrainIds", by_value(list(range(19))))
    for example in made.train:
        save(np.full(SIZE, 99, np.uint8), Path(str(example.mask).replace("TrainIds", "Ids")))
    return made


def _cityscapes(root: Path, ids: str, encode: Callable[[np.ndarray], np.ndarray]) -> Made:
    cities = [("train", "aachen"), ("train", "bochum"), ("train", "ulm"), ("val", "munster"), ("val", "lindau")]
    names = [
        (
            root / "leftImg8bit" / split / city / f"{city}_000000_000019_leftImg8bit.png",
            root / "gtFine" / split / city / f"{city}_000000_000019_gtFine_{ids}.png",
        )
        for split, city in cities
    ]
    return write(f"cityscapes:{root}", 19, names, 3, encode)


def ade20k(root: Path) -> Made:
    whole = root / "ADEChallengeData2016"
    names = [
        (whole / "images" / split / f"ADE_{i}.jpg", whole / "annotations" / split / f"ADE_{i}.png")
        for split, i in (("training", 1), ("training", 2), ("training", 3), ("validation", 1), ("validation", 2))
    ]
    return write(f"ade20k:{root}", 150, names, 3, by_value(list(range(1, 151)), void=0))


def folder(root: Path) -> Made:
    """Splits as folders, classes found from the masks."""
    names = [
        (root / s / "images" / f"{i}.png", root / s / "masks" / f"{i}.png") for s in ("train", "val") for i in "ab"
    ]
    return write(f"folder:{root}", 4, names, 2, by_value(list(range(4))))


def folder_lists(root: Path) -> Made:
    """Lists of stems or file names; a void value in the middle of classes.txt."""
    names = [(root / "images" / f"{i}.jpeg", root / "masks" / f"{i}.png") for i in range(5)]
    made = write(f"folder:{root}", 3, names, 3, by_value([0, 2, 3], void=1))
    (root / "classes.txt").write_text("road\nvoid\nlow wall\ntree\n")
    (root / "train.txt").write_text("0\n1.jpeg\n2\n")
    (root / "val.txt").write_text("\n3\n4\n")
    return made


PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:3] = (128, 64, 128), (0, 0, 142), (250, 170, 30)


def folder_colours(root: Path) -> Made:
    names = [
        (root / s / "images" / f"{i}.png", root / s / "masks" / f"{i}.png") for s in ("train", "val") for i in "ab"
    ]
    (root / "classes.txt").write_text("road 128 64 128\ncar 0 0 142\ntraffic light 250 170 30\nvoid 0 0 0\n")
    return write(f"folder:{root}", 3, names, 2, lambda truth: PALETTE[truth])


def folder_shades(root: Path) -> Made:
    names = [
        (root / s / "images" / f"{i}.png", root / s / "masks" / f"{i}.png") for s in ("train", "val") for i in "ab"
    ]
    (root / "classes.txt").write_text("background 0 0 0\nperson 255 255 255\nvoid 128 128 128\n")
    return write(f"folder:{root}", 2, names, 2, by_value([0, 255], void=128))


def landcover_like(root: Path) -> Made:
    """A GeoTIFF as satellites give them: five bands of 16 bits, LZW, bands after each other; bands.txt names three."""
    rng = np.random.default_rng(0)
    examples = []
    for split in ("train", "train", "val"):
        name = f"tile{len(examples)}.tif"
        image, mask = root / split / "images" / name, root / split / "masks" / name
        pixels, truth = drawing(rng, 3)
        bands = np.stack([pixels[..., 0] * 7, *(pixels[..., c].astype(np.uint16) * 10 for c in (2, 1, 0))], 0)
        bands = np.concatenate([bands, bands[:1] // 2]).astype(np.uint16)
        for path in (image, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(image, bands, photometric="minisblack", planarconfig="separate", compression="lzw")
        tifffile.imwrite(mask, truth, compression="lzw")
        examples.append(Example(image, mask, pixels, truth))
    (root / "bands.txt").write_text("4 0 2550\n3 0 2550\n2 0 2550\n")
    return Made(f"folder:{root}", 3, examples[:2], examples[2:])


DATA_SETS = [
    *(camvid, voc, cityscapes, cityscapes_train_ids, ade20k),
    *(folder, folder_lists, folder_colours, folder_shades, landcover_like),
]


def volume(images: Path, masks: Path, name: str, depth: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A scan in Hounsfield units and its mask, written as NIfTI; returns both as stored."""
    rng = np.random.default_rng(seed)
    scan = rng.integers(-1000, 1000, (*SIZE, depth)).astype(np.int16)
    mask = rng.integers(0, 3, (*SIZE, depth)).astype(np.uint8)
    for folder, array in ((images, scan), (masks, mask)):
        folder.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / f"{name}.nii.gz")
    return scan, mask


def names_of(kind: str) -> tuple[str, ...]:
    return read_classes(Path(compress.data.layouts.__file__).parent / f"{kind}.txt").names
