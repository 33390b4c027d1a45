"""Scenes: TIFF files so large that they are read by parts and never as a whole."""

from collections.abc import Iterator
from pathlib import Path
from struct import calcsize, unpack
from struct import error as StructError

import numpy as np

from compress.data.decoders.tiff_windows import open_tiff
from compress.data.formats import TIFF_ENDINGS, read_bands
from compress.data.windows import Size, Window
from search_spaces.errors import InputError

SCENE_PIXELS = 2**24  # a TIFF file of more pixels, such as 4097x4097, is a scene
WIDTH, LENGTH = 256, 257  # tags of TIFF
MAX_TAGS = 4096  # of a directory that are looked at
PART = (1024, 1024)  # what is read at a time when all of a scene is looked at
SAMPLES, SAMPLE_SIDE = 8, 64  # parts along each side of a scene, and their side in pixels, where few values are enough


def scene_size(path: Path) -> Size | None:
    """The size of a scene.

    Args:
        path: A file.

    Returns:
        Height and width, in pixels; None for any other file, and for one that cannot be read.
    """
    if not path.name.lower().endswith(TIFF_ENDINGS) or _first_pixels(path) <= SCENE_PIXELS:
        return None
    try:
        height, width = open_tiff(path, by_parts=False).size
    except InputError:  # whoever reads it will say why
        return None
    return (height, width) if height * width > SCENE_PIXELS else None


def _first_pixels(path: Path) -> int:
    """Pixels of the first picture of a TIFF file, from its first directory alone: a data set has thousands of files
    that are no scenes, and tifffile takes ten times as long. 0 for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            order, big = ("<" if head[:2] == b"II" else ">"), 43 in head[2:4]
            (begin,) = unpack(order + "Q", head[8:]) if big else unpack(order + "I", head[4:8])
            file.seek(begin)
            (entries,) = unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
            length, value_at = (20, 12) if big else (12, 8)
            table = file.read(min(entries, MAX_TAGS) * length)
        sides = {}
        for entry in (table[at : at + length] for at in range(0, len(table) - length + 1, length)):
            tag, kind = unpack(order + "HH", entry[:4])
            if tag in (WIDTH, LENGTH):
                form = order + {3: "H", 16: "Q"}.get(kind, "I")
                sides[tag] = unpack(form, entry[value_at : value_at + calcsize(form)])[0]
    except (OSError, StructError):
        return 0
    return int(sides.get(WIDTH, 0) * sides.get(LENGTH, 0))


def parts_of(path: Path) -> Iterator[Window | None]:
    """The parts in which a file is read when all of it is looked at.

    Args:
        path: A file.

    Yields:
        None, which means the whole file; of a scene its parts.
    """
    size = scene_size(path)
    if size is None:
        yield None
        return
    (height, width), (high, wide) = size, PART
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield Window(top, left, min(high, height - top), min(wide, width - left))


def read_sample(path: Path) -> np.ndarray:
    """Reads an image, or parts of a scene that are spread over it.

    Args:
        path: The file.

    Returns:
        H,W,bands as `compress.data.formats.read_bands` returns them. The parts of a scene lie below each other.

    Raises:
        InputError: The file is missing or cannot be decoded.
    """
    size = scene_size(path)
    if size is None:
        return read_bands(path)
    tops, lefts = ([round(i * (side - SAMPLE_SIDE) / (SAMPLES - 1)) for i in range(SAMPLES)] for side in size)
    parts = [read_bands(path, Window(top, left, SAMPLE_SIDE, SAMPLE_SIDE)) for top in tops for left in lefts]
    joined = np.concatenate([np.ma.getdata(part) for part in parts])
    masks = [np.ma.getmaskarray(part) for part in parts]
    return np.ma.MaskedArray(joined, np.concatenate(masks)) if any(mask.any() for mask in masks) else joined
