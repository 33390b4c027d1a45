"""The values of an image that mean something: its chosen bands, without nodata, and their percentiles."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.bands_file import ByteRange, Channels
from compress.data.scene_files import read_sample
from compress.data.threads import map_in_threads
from search_spaces.errors import InputError

FIRST_BANDS = (0, 1, 2)
PERCENTILES = (1, 99)
SAMPLED_IMAGES = 256  # spread over the training images
SAMPLED_PIXELS = 10_000  # of each, spread over the image
MAX_MEASURED = 1e38  # nothing measured is larger; GDAL fills empty float pixels with -3.4e38
LIKELY_NODATA = (-9999, -99999, 65535, -32768, -32767, 2**31 - 1, -(2**31), 2**32 - 1)


def choose_bands(image: np.ndarray, bands: Channels, path: Path) -> np.ndarray:
    """The bands of an image that a network sees.

    Args:
        image: H,W,bands.
        bands: Counted from 0. An only band stands for the first three.
        path: The file of the image, for the message.

    Returns:
        H,W,channels.

    Raises:
        InputError: The image has too few bands.
    """
    count = image.shape[2]
    if count == 1 and bands == FIRST_BANDS:
        return image.repeat(3, axis=2)
    if max(bands) >= count:
        asked = f"band {max(bands) + 1} is asked for, there are {count}"
        raise InputError(f"{path}: {asked}; say in bands.txt which bands to use")
    return image[..., : len(bands)] if bands == tuple(range(len(bands))) else image[..., bands]


def find_nodata(image: np.ndarray) -> np.ndarray | None:
    """Where nothing was measured.

    Args:
        image: H,W,bands as `compress.data.formats.read_bands` returns it.

    Returns:
        H,W,bands, true where the file marks nodata, and where a float value is not finite or beyond MAX_MEASURED; None
        where that is nowhere.
    """
    found = np.asarray(np.ma.getmask(image))
    if image.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            found = found | ~(np.abs(np.ma.getdata(image)) < MAX_MEASURED)
    return np.broadcast_to(found, image.shape) if found.any() else None


def percentiles(images: Sequence[Path], bands: Channels) -> list[ByteRange]:
    """PERCENTILES of each channel over a sample of pixels. Files that cannot be read and nodata are left out.

    Args:
        images: The training images.
        bands: The band of each channel, counted from 0.

    Returns:
        The lower and upper percentile of each channel.

    Raises:
        InputError: Many values look like nodata that is not marked.
    """

    def sample(path: Path) -> np.ndarray:
        try:
            image = choose_bands(read_sample(path), bands, path)
        except InputError:  # the check of all files will name it
            return np.empty((0, len(bands)), np.float32)
        nodata = find_nodata(image)
        step = image.shape[0] * image.shape[1] // SAMPLED_PIXELS | 1  # odd, so that columns take turns
        few = np.ma.getdata(image).reshape(-1, len(bands))[::step].astype(np.float32)
        return few if nodata is None else few[~nodata.reshape(-1, len(bands))[::step].any(axis=1)]

    chosen = images[:: max(1, len(images) // SAMPLED_IMAGES)]
    pixels = np.concatenate(list(map_in_threads(sample, chosen, "value ranges")))
    if not len(pixels):
        return [(0.0, 1.0)] * len(bands)
    low, high = np.percentile(pixels, PERCENTILES, axis=0).tolist()
    _refuse_unmarked(pixels, low, high, chosen[0].parent)
    return [(a, b) if a < b else (a, a + 1) for a, b in zip(low, high, strict=True)]


def parse_ranges(value: Any, channels: int) -> list[ByteRange]:
    """Checks the ranges that `percentiles` found and a file kept.

    Args:
        value: Plain JSON values.
        channels: How many channels there are.

    Returns:
        The lower and upper percentile of each channel.

    Raises:
        TypeError: The values have another form.
        ValueError: They have another form, are not as many, or a range ends before it begins.
    """
    ranges = [(low, high) for low, high in value]
    if len(ranges) != channels:
        raise ValueError(f"{len(ranges)} ranges for {channels} channels")
    if not all(isinstance(end, float) and isfinite(end) for one in ranges for end in one):
        raise TypeError("an end of a range is no number")
    if not all(low <= high for low, high in ranges):
        raise ValueError("a range ends before it begins")
    return ranges


def _refuse_unmarked(pixels: np.ndarray, low: list[float], high: list[float], folder: Path) -> None:
    """Raises InputError when a percentile is a usual nodata value, farther from all others than these are apart."""
    for value in (value for value in (*low, *high) if value in LIKELY_NODATA):
        others = pixels[(pixels != value).all(axis=1)]
        if not len(others) or not 0 < np.ptp(others) < np.abs(others - value).min():
            continue
        share = 1 - len(others) / len(pixels)
        raise InputError(
            f"{folder}: {share:.0%} of the pixels hold {value:g}, far from all other values, as nodata does; mark it "
            f"(gdal_edit.py -a_nodata {value:g} FILE), or give the range of each band in bands.txt"
        )
