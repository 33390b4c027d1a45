"""Data sets: pairs of image and mask files, checked before anything is trained on them.

landcover              shipped with the project (compress/landcover/README.md)
camvid:DIR             train, trainannot, val, valannot as in SegNet's copy of CamVid
folder:DIR             DIR/{train,val}/{images,masks}, the same stem in both; masks hold class indices,
                       255 is void; class names one a line in DIR/classes.txt
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from search_spaces.errors import InputError

IGNORE = 255
LANDCOVER = Path(__file__).parent / "landcover"
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
PALETTE_STEP = 67  # colours of classes nobody gave colours: steps round the colour wheel


@dataclass(frozen=True)
class Pair:
    """The files of one image (RGB) and its mask (one class index a pixel)."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class DataSet:
    """`void` are mask values to ignore; they read as IGNORE."""

    spec: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    void: tuple[int, ...]
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, renamed or changes its size."""
        files = [f for pair in self.train + self.val for f in (pair.image, pair.mask)]
        return sha256(repr([(f.name, f.stat().st_size) for f in files]).encode()).hexdigest()[:12]


def open_data(spec: str) -> DataSet:
    """The data set a `--data` value names. Raises InputError for an unknown kind or a missing folder or file."""
    kind, _, folder = spec.partition(":")
    if kind not in KINDS:
        raise InputError(f"--data {spec}: unknown data set; choose from {', '.join(KINDS.values())}")
    opener, takes_folder = OPENERS[kind]
    if takes_folder and not folder:
        raise InputError(f"--data {spec}: name the folder, {KINDS[kind]}")
    if takes_folder and not Path(folder).is_dir():
        raise InputError(f"--data {spec}: there is no folder {folder}; check the path")
    data = opener(spec, Path(folder))
    for split, pairs in (("train", data.train), ("val", data.val)):
        if not pairs:
            raise InputError(f"--data {spec}: the {split} split has no images; see compress/data.py for the layout")
    return data


def _landcover(spec: str, _: Path) -> DataSet:
    listing = json.loads((LANDCOVER / "splits.json").read_text())

    def pairs(split: str) -> tuple[Pair, ...]:
        tiles = listing["splits"][split]
        return tuple(Pair(LANDCOVER / "images" / f"{t}.jpg", LANDCOVER / "masks" / f"{t}.png") for t in tiles)

    colours = tuple((r, g, b) for r, g, b in listing["colours"])
    return DataSet(spec, tuple(listing["classes"]), colours, (IGNORE,), pairs("train"), pairs("val"))


CAMVID_CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
CAMVID_COLOURS = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)


def _camvid(spec: str, folder: Path) -> DataSet:
    train, val = (_matched(folder / split, folder / f"{split}annot", spec) for split in ("train", "val"))
    return DataSet(spec, CAMVID_CLASSES, CAMVID_COLOURS, (11, IGNORE), train, val)


def _folder(spec: str, folder: Path) -> DataSet:
    names_file = folder / "classes.txt"
    if not names_file.is_file():
        raise InputError(f"--data {spec}: {names_file} is missing; write one class name a line, in index order")
    names = tuple(line.strip() for line in names_file.read_text().splitlines() if line.strip())
    if not 2 <= len(names) <= IGNORE:
        raise InputError(f"{names_file}: {len(names)} classes; give 2 to {IGNORE} names, one a line")
    train, val = (_matched(folder / s / "images", folder / s / "masks", spec) for s in ("train", "val"))
    return DataSet(spec, names, default_colours(len(names)), (IGNORE,), train, val)


def default_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Distinct colours for classes without any."""
    hues = [Image.new("HSV", (1, 1), (i * PALETTE_STEP % 256, 200, 220 - 60 * (i % 2))) for i in range(count)]
    return tuple(tuple(hue.convert("RGB").getpixel((0, 0))) for hue in hues)  # type: ignore[arg-type,misc]


def _matched(images: Path, masks: Path, spec: str) -> tuple[Pair, ...]:
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputError(f"--data {spec}: there is no folder {folder}; see compress/data.py for the layout")
    mask_of = {path.stem: path for path in masks.iterdir() if path.suffix.lower() == ".png"}
    found = sorted(path for path in images.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
    missing = [path.name for path in found if path.stem not in mask_of]
    if missing:
        raise InputError(f"--data {spec}: no mask in {masks} for {', '.join(missing[:5])} ({len(missing)} in all)")
    return tuple(Pair(path, mask_of[path.stem]) for path in found)


KINDS = {"landcover": "landcover", "camvid": "camvid:DIR", "folder": "folder:DIR"}
OPENERS: dict[str, tuple[Callable[[str, Path], DataSet], bool]] = {
    "landcover": (_landcover, False),
    "camvid": (_camvid, True),
    "folder": (_folder, True),
}


def read_pair(pair: Pair, data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Image (H,W,3) and mask (H,W), uint8, void pixels as IGNORE.

    Raises InputError for a file that cannot be decoded, sizes that differ or a class out of range.
    """
    image = np.asarray(_decode(pair.image).convert("RGB"))
    mask = np.array(_decode(pair.mask))
    if mask.ndim != 2:
        raise InputError(f"{pair.mask}: a mask has one channel of class indices, this one has shape {mask.shape}")
    if mask.shape != image.shape[:2]:
        sizes = f"{mask.shape[1]}x{mask.shape[0]} but {pair.image} is {image.shape[1]}x{image.shape[0]}"
        raise InputError(f"{pair.mask}: the mask is {sizes}; make them the same size")
    mask[np.isin(mask, data.void)] = IGNORE
    wrong = np.unique(mask[(mask >= len(data.classes)) & (mask != IGNORE)])
    if wrong.size:
        legal = f"0 to {len(data.classes) - 1}, or {', '.join(map(str, data.void))} for void"
        raise InputError(f"{pair.mask}: class {', '.join(map(str, wrong[:5]))} is out of range; use {legal}")
    return image, mask.astype(np.uint8)


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error


def read_all(pairs: Sequence[Pair], data: DataSet) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every pair decoded, in order. Raises one InputError that names the first bad files and counts the rest."""

    def read(pair: Pair) -> tuple[np.ndarray, np.ndarray] | InputError:
        try:
            return read_pair(pair, data)
        except InputError as error:
            return error

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(read, pairs))
    errors = [str(result) for result in results if isinstance(result, InputError)]
    if errors:
        more = f" (and {len(errors) - 3} more bad files)" if len(errors) > 3 else ""
        raise InputError("; ".join(errors[:3]) + more)
    return [result for result in results if not isinstance(result, InputError)]
