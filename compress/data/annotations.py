"""Masks drawn from annotation files, as layouts with outlines have them. They are drawn once, under runs/data."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import ExifTags, Image

from compress.data.cache import DAMAGED, files_key
from compress.data.decoders.raster import MAX_VALUES
from compress.data.faults import data_error
from compress.data.formats import read_bands
from compress.data.labels import IGNORE, Labels, default_colours
from compress.data.left_out import LeftOut
from compress.data.pairs import Listing, Pair, stem
from compress.data.regions import Region, draw_regions
from compress.data.splits import Drawn, split_by_seed
from compress.data.statistics import Size
from compress.data.threads import map_in_threads
from compress.files.atomic import RUNS, make_folder
from compress.files.records import read_record, write_record
from search_spaces.errors import InputError

DRAWING = "smaller areas on top"  # another text when masks are to be drawn anew
LISTING = "listing.json"
ALL = "all"  # the one split of annotations whose validation split is to be drawn
BACKGROUND, BACKGROUND_NAMES = "background", ("background", "_background_", "__background__")
VOID_NAMES = ("void", "__ignore__")
NO_IMAGE = (32, 32)  # size of the mask of an image that cannot be read, which the check names


@dataclass(frozen=True)
class Annotated:
    """An image and what was drawn on it.

    Attributes:
        image: The file of the image.
        regions: Makes the regions for an image of a height and width in pixels. It raises InputError for a wrong
            annotation, whose message begins with the annotation file.
    """

    image: Path
    regions: Callable[[Size], Sequence[Region]]


@dataclass(frozen=True)
class Annotations:
    """What the annotation files of a data set say.

    Attributes:
        names: The classes in order; the first is what no region covers.
        splits: The images of `train` and `val`, or of ALL.
        left_out: Files that are not used.
        notes: What else the user should know, a line each.
    """

    names: tuple[str, ...]
    splits: dict[str, list[Annotated]]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def class_indices(names: Sequence[str], source: Path) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes of annotations. What no region covers is the class `background`, which comes first.

    Args:
        names: The names of the annotations' classes, in order.
        source: The file or folder they are from, for messages.

    Returns:
        The names of the classes, and the index of each given name; IGNORE for VOID_NAMES.

    Raises:
        InputError: There are none, too many, or a name is there twice.
    """
    kinds = [name for name in names if name.lower() not in (*BACKGROUND_NAMES, *VOID_NAMES)]
    if len(set(kinds)) < len(kinds):
        twice = next(name for name in kinds if kinds.count(name) > 1)
        raise InputError(f"{source}: the class {twice} is there twice; give every class a name of its own")
    if not 0 < len(kinds) < IGNORE:
        raise InputError(f"{source}: {len(kinds)} classes; annotations of 1 to {IGNORE - 1} classes are needed")
    index = {name: i for i, name in enumerate(kinds, 1)}
    index |= {name: IGNORE if name.lower() in VOID_NAMES else 0 for name in names if name not in index}
    return (BACKGROUND, *kinds), index


def drawn_listing(spec: str, root: Path, seed: int, files: Iterable[Path], read: Callable[[], Annotations]) -> Listing:
    """Lists a data set whose masks are drawn from annotations, unless they are drawn already.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder of the data set.
        seed: Draws the validation split where the annotations have one split.
        files: The annotation files and the images. Masks are drawn anew when one of them changes.
        read: Reads the annotations.

    Returns:
        The pairs of both splits.

    Raises:
        InputError: The annotations cannot be read.
        DataError: Single annotations are wrong; it lists all of them.
    """
    folder = RUNS / "data" / f"masks-{files_key(files, (spec, DRAWING))}"

    def draw(part: Path) -> None:
        _draw(read(), root, part, spec)

    make_folder(folder, draw)
    try:
        kept = _read_listing(folder, root)
    except InputError:
        print(f"{folder / LISTING} is damaged; the masks are drawn anew", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder, draw)
        kept = _read_listing(folder, root)
    splits, names, bands = kept.splits, kept.names, root / "bands.txt"
    drawn = split_by_seed(splits[ALL], root, seed, spec) if ALL in splits else Drawn(splits["train"], splits["val"])
    labels = Labels(names, default_colours(len(names)), tuple(range(len(names))), (IGNORE,))
    notes = (*drawn.notes, *kept.notes)
    return Listing(labels, drawn.train, drawn.val, bands if bands.exists() else None, kept.left_out, notes)


@dataclass(frozen=True)
class _Kept:
    """What a folder of drawn masks keeps: as Annotations, with pairs in the place of what is to be drawn."""

    names: tuple[str, ...]
    splits: dict[str, tuple[Pair, ...]]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def _read_listing(folder: Path, root: Path) -> _Kept:
    """Reads what `_draw` wrote. Raises InputError for a damaged listing, and where it does not fit the masks."""
    file, remedy = folder / LISTING, f"delete {folder}"
    kept = read_record(file, remedy)
    try:
        splits = {}
        for split, listed in kept["splits"].items():
            pairs = [(image, mask) for image, mask in map(_texts, listed)]
            splits[split] = tuple(Pair(root / image, folder / mask) for image, mask in pairs)
            if {mask for _, mask in pairs} != {f"{split}/{path.name}" for path in (folder / split).iterdir()}:
                raise ValueError(f"its masks are not those in {split}")
        names = _texts(kept["names"])
        if set(splits) not in ({ALL}, {"train", "val"}) or not 0 < len(names) <= IGNORE:
            raise ValueError("it lacks splits or classes")
        left_out = tuple(LeftOut(str(reason), tuple(map(root.joinpath, _texts(of)))) for reason, of in kept["left_out"])
        return _Kept(names, splits, left_out, _texts(kept["notes"]))
    except (OSError, *DAMAGED) as error:
        raise InputError(f"{file}: not a list of drawn masks ({type(error).__name__}: {error}); {remedy}") from error


def _texts(value: object) -> tuple[str, ...]:
    """Raises TypeError for anything but a list of texts."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError("a list of texts is needed")
    return tuple(value)


def _draw(found: Annotations, root: Path, folder: Path, spec: str) -> None:
    """Draws all masks into a folder. Raises DataError for wrong annotations."""
    faults: list[InputError] = []
    listed: dict[str, list[tuple[str, str]]] = {}
    for split, annotated in found.splits.items():
        (folder / split).mkdir()
        names = [f"{split}/{i:06}-{stem(one.image)}.png" for i, one in enumerate(annotated)]
        listed[split] = [(_relative(one.image, root), name) for one, name in zip(annotated, names, strict=True)]

        def draw(place: int, annotated: Sequence[Annotated] = annotated, names: Sequence[str] = names) -> object:
            return _draw_one(annotated[place], folder / names[place])

        faults += [fault for fault in map_in_threads(draw, range(len(names)), "masks") if isinstance(fault, InputError)]
    if faults:
        raise data_error(faults, spec)
    left_out = [(group.reason, [_relative(path, root) for path in group.files]) for group in found.left_out]
    kept = {"names": found.names, "splits": listed, "left_out": left_out, "notes": found.notes}
    write_record(folder / LISTING, kept)


def _relative(path: Path, root: Path) -> str:
    """A path from the folder of the data set, as JSON can hold it. Raises InputError for a name that it cannot hold."""
    text = os.path.relpath(path, root)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode("utf-8", "replace").decode()
        raise InputError(f"{shown}: the name is not UTF-8; rename the file") from None
    return text


def _draw_one(annotated: Annotated, path: Path) -> InputError | None:
    """Draws a mask; returns what is wrong with its annotation."""
    size = image_size(annotated.image)
    try:
        regions = annotated.regions(size) if size is not None else ()
    except InputError as error:
        return error
    mask = draw_regions(regions, size or NO_IMAGE)
    path.write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    return None


def image_size(path: Path) -> Size | None:
    """The size of an image, upright as its EXIF or TIFF orientation says.

    Args:
        path: The file.

    Returns:
        Height and width, in pixels; None for a file that is missing or cannot be read, which the check names.
    """
    try:
        with Image.open(path) as image:
            if image.format != "TIFF":
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
                size = image.size if turned else image.size[::-1]
                return size if size[0] * size[1] <= MAX_VALUES else None
    except Exception:  # Pillow raises many kinds for a damaged file
        pass
    try:
        return read_bands(path).shape[:2]
    except InputError:
        return None
