"""Scenes: TIFF files so large that they are read by parts and never as a whole."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from compress.data.decoders.tiff_windows import open_tiff
from compress.data.formats import TIFF_ENDINGS, read_bands
from compress.data.windows import Size, Window
from search_spaces.errors import InputError

SCENE_PIXELS = 2**24  # a TIFF file of more pixels, such as 4097x4097, is a scene
PART = (1024, 1024)  # what is read at a time when all of a scene is looked at
SAMPLES, SAMPLE_SIDE = 8, 64  # parts along each side of a scene, and their side in pixels, where few values are enough


def scene_size(path: Path) -> Size | None:
    """The size of a scene.

    Args:
        path: A file.

    Returns:
        Height and width, in pixels; None for any other file, and for one that cannot be read.
    """
    if not path.name.lower().endswith(TIFF_ENDINGS):
        return None
    try:
        height, width = open_tiff(path, by_parts=False).size
    except InputError:  # whoever reads it will say why
        return None
    return (height, width) if height * width > SCENE_PIXELS else None


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
