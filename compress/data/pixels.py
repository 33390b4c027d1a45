"""How an image of any depth and any bands becomes the three bytes a pixel that a network takes.

`bands.txt` beside the images says which bands are the network's three channels, one a line, counted from 1 as GIS
programs do, and optionally which values become the bytes 0 and 255:

    4 0 3000
    3 0 3000
    2 0 3000

One line stands for all three. Without the file they are the first three bands (or the only one, three times). Without
a range, bytes stay as they are, and anything deeper is stretched from the 1st to the 99th percentile of each band over
the training images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.cache import cached_result
from compress.data.formats import read_bands
from compress.data.threads import map_in_threads
from search_spaces.errors import InputError

PERCENTILES = (1, 99)
SAMPLED_IMAGES = 256  # spread over the training images
SAMPLED_PIXELS = 10_000  # of each, spread over the image

Channels = tuple[int, int, int]
ByteRange = tuple[float, float]  # the values that become the bytes 0 and 255
FIRST_BANDS = (0, 1, 2)
BYTE = (0.0, 255.0)


@dataclass(frozen=True)
class Pixels:
    """Channel c's byte is floor(255 * clamp((x - low) / (high - low), 0, 1) + 0.5) for x in band `bands[c]` (from 0),
    with (low, high) = `ranges[c]`; an only band stands for the first three. `dtype` is the images' type."""

    dtype: str = "uint8"
    bands: Channels = FIRST_BANDS
    ranges: tuple[ByteRange, ByteRange, ByteRange] = (BYTE, BYTE, BYTE)

    def to_bytes(self, image: np.ndarray, path: Path) -> np.ndarray:
        """H,W,bands to H,W,3 bytes. Raises InputError, naming the file, for another type or too few bands."""
        if image.dtype != self.dtype:
            raise InputError(f"{path}: values are {image.dtype}, those of the first image {self.dtype}; make all alike")
        chosen = np.ascontiguousarray(_channels(image, self.bands, path))
        if self.dtype == "uint8" and set(self.ranges) == {BYTE}:
            return chosen
        low, high = np.array(self.ranges, np.float32).T
        share = np.nan_to_num(np.clip((chosen.astype(np.float32) - low) / (high - low), 0, 1))
        return np.asarray(share * 255 + 0.5, np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """What an app needs to make the same bytes; bands counted from 1."""
        return {"dtype": self.dtype, "bands": [band + 1 for band in self.bands], "ranges": [*map(list, self.ranges)]}


def _channels(image: np.ndarray, bands: Channels, path: Path) -> np.ndarray:
    count = image.shape[2]
    if count == 1 and bands == FIRST_BANDS:
        return image.repeat(3, axis=2)
    if max(bands) >= count:
        asked = f"band {max(bands) + 1} is asked for, there are {count}"
        raise InputError(f"{path}: {asked}; say in bands.txt which bands to use")
    return image[..., :3] if bands == FIRST_BANDS else image[..., bands]


def find_pixels(images: Sequence[Path], bands_file: Path | None) -> Pixels:
    """How the training images become bytes; the first that can be read shows of what type they are.

    Raises InputError for a bands.txt that cannot be read.
    """
    bands, asked = (FIRST_BANDS, (None,) * 3) if bands_file is None else read_bands_file(bands_file)
    dtype = next((array.dtype for array in map(_readable, images) if array is not None), np.dtype(np.uint8))
    found = [BYTE] * 3
    if dtype != np.uint8 and None in asked:
        found = cached_result("ranges", bands, images, lambda: percentiles(images, bands))
    first, second, third = (given or (low, high) for given, (low, high) in zip(asked, found, strict=True))
    return Pixels(dtype.name, bands, (first, second, third))


def _readable(path: Path, bands: Channels | None = None) -> np.ndarray | None:
    """An image, or these bands of it; None for one that the check of all files will name."""
    try:
        image = read_bands(path)
        return image if bands is None else _channels(image, bands, path)
    except InputError:
        return None


def read_bands_file(path: Path) -> tuple[Channels, tuple[ByteRange | None, ...]]:
    """Bands (from 0) and ranges of the three channels. Raises InputError that names the file and the line."""
    try:
        lines = [line.split() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); write BAND [LOW HIGH] on each line") from error
    if len(lines) not in (1, 3):
        raise InputError(f"{path}: {len(lines)} lines; give one for each of three channels, or one for all")
    parsed = [_parse_line(words, path) for words in lines]
    (first, second, third), ranges = zip(*(parsed if len(parsed) == 3 else parsed * 3), strict=True)
    return (first, second, third), ranges


def _parse_line(words: list[str], path: Path) -> tuple[int, ByteRange | None]:
    try:
        band, *limits = int(words[0]), *map(float, words[1:])
    except ValueError:
        band, limits = 0, []
    if band < 1 or len(limits) not in (0, 2) or not np.isfinite(limits).all() or limits != sorted(set(limits)):
        raise InputError(f"{path}: {' '.join(words)}: give BAND [LOW HIGH], such as '4' or '4 0 3000'")
    return band - 1, (limits[0], limits[1]) if limits else None


def percentiles(images: Sequence[Path], bands: Channels) -> list[ByteRange]:
    """PERCENTILES of each channel over a sample of the images' pixels; files that cannot be read are left out."""

    def sample(path: Path) -> np.ndarray:
        image = _readable(path, bands)
        if image is None:
            return np.empty((0, 3), np.float32)
        pixels = image.reshape(-1, 3)
        few = pixels[:: len(pixels) // SAMPLED_PIXELS | 1].astype(np.float32)  # odd, so that columns take turns
        return np.asarray(few[np.isfinite(few).all(axis=1)])

    chosen = images[:: max(1, len(images) // SAMPLED_IMAGES)]
    pixels = np.concatenate(list(map_in_threads(sample, chosen, "value ranges")))
    if not len(pixels):
        return [(0.0, 1.0)] * 3
    low, high = np.percentile(pixels, PERCENTILES, axis=0).tolist()
    return [(a, b) if a < b else (a, a + 1) for a, b in zip(low, high, strict=True)]
