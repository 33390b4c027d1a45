"""How an image of any depth and any bands becomes the three bytes a pixel that a network takes.

`bands.txt` beside the images says which bands are used and which values become the bytes 0 and 255. Without the file,
bands 1 to 3 are used, or the only band three times. Without a range, bytes stay as they are, and anything deeper is
stretched from the 1st to the 99th percentile of each band over the training images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.bands_file import ByteRange, Channels, read_bands_file
from compress.data.cache import cached_result
from compress.data.formats import read_bands
from compress.data.threads import map_in_threads
from search_spaces.errors import InputError

PERCENTILES = (1, 99)
SAMPLED_IMAGES = 256  # spread over the training images
SAMPLED_PIXELS = 10_000  # of each, spread over the image
MAX_MEASURED = 1e38  # nothing measured is larger; GDAL fills empty float pixels with -3.4e38
LIKELY_NODATA = (-9999, -99999, 65535, -32768, -32767, 2**31 - 1, -(2**31), 2**32 - 1)

FIRST_BANDS = (0, 1, 2)
BYTE = (0.0, 255.0)


@dataclass(frozen=True)
class Pixels:
    """How images become bytes.

    Channel c's byte is floor(255 * clamp((x - low) / (high - low), 0, 1) + 0.5) for x in band `bands[c]`, with
    (low, high) = `ranges[c]`. The byte is 0 where nothing was measured.

    Attributes:
        dtype: The type of the images' values.
        bands: The band of each channel, counted from 0. An only band stands for the first three.
        ranges: The values that become the bytes 0 and 255, for each channel.
    """

    dtype: str = "uint8"
    bands: Channels = FIRST_BANDS
    ranges: tuple[ByteRange, ByteRange, ByteRange] = (BYTE, BYTE, BYTE)

    def to_bytes(self, image: np.ndarray, path: Path) -> np.ndarray:
        """The bytes of an image.

        Args:
            image: H,W,bands as `compress.data.formats.read_bands` returns it.
            path: Its file, for messages.

        Returns:
            H,W,3 bytes. They are 0 where the image is masked, not finite or beyond MAX_MEASURED.

        Raises:
            InputError: The image has another type than `dtype`, or too few bands.
        """
        if image.dtype != self.dtype:
            raise InputError(f"{path}: values are {image.dtype}, those of the first image {self.dtype}; make all alike")
        chosen = choose_bands(image, self.bands, path)
        values = np.ascontiguousarray(np.ma.getdata(chosen))
        if self.dtype == "uint8" and set(self.ranges) == {BYTE}:
            made = values
        else:
            low, high = np.array(self.ranges, np.float32).T
            share = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)
            made = np.asarray(np.nan_to_num(share) * 255 + 0.5, np.uint8)
        nodata = find_nodata(chosen)
        return made if nodata is None else np.where(nodata, np.uint8(0), made)

    def to_dict(self) -> dict[str, Any]:
        """What an app needs to make the same bytes.

        Returns:
            Plain JSON values: `dtype`, `bands` (counted from 1) and `ranges`.
        """
        return {"dtype": self.dtype, "bands": [band + 1 for band in self.bands], "ranges": [*map(list, self.ranges)]}

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Pixels":
        """The inverse of `to_dict`.

        Args:
            value: what a model card says under `bands`.

        Returns:
            How images become bytes.

        Raises:
            KeyError: a field is missing.
            TypeError: a field has another form.
            ValueError: a field has another form.
        """
        red, green, blue = (int(band) - 1 for band in value["bands"])
        first, second, third = ((float(low), float(high)) for low, high in value["ranges"])
        return Pixels(str(value["dtype"]), (red, green, blue), (first, second, third))


def choose_bands(image: np.ndarray, bands: Channels, path: Path) -> np.ndarray:
    """Three bands of an image.

    Args:
        image: H,W,bands.
        bands: Counted from 0. An only band stands for the first three.
        path: The file of the image, for the message.

    Returns:
        H,W,3.

    Raises:
        InputError: The image has too few bands.
    """
    count = image.shape[2]
    if count == 1 and bands == FIRST_BANDS:
        return image.repeat(3, axis=2)
    if max(bands) >= count:
        asked = f"band {max(bands) + 1} is asked for, there are {count}"
        raise InputError(f"{path}: {asked}; say in bands.txt which bands to use")
    return image[..., :3] if bands == FIRST_BANDS else image[..., bands]


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


def find_pixels(images: Sequence[Path], bands_file: Path | None) -> Pixels:
    """How the training images become bytes. The first image that can be read shows of what type all are.

    Args:
        images: The training images.
        bands_file: The bands.txt, or None.

    Returns:
        Bands and ranges as the file gives them, the rest as found in the images.

    Raises:
        InputError: bands.txt cannot be read, or many values look like nodata that is not marked.
    """
    bands, asked = (FIRST_BANDS, (None,) * 3) if bands_file is None else read_bands_file(bands_file)
    dtype = next((array.dtype for array in map(_readable, images) if array is not None), np.dtype(np.uint8))
    found = [BYTE] * 3
    if dtype != np.uint8 and None in asked:
        found = cached_result("ranges", ("without nodata", bands), images, lambda: percentiles(images, bands))
    first, second, third = (given or (low, high) for given, (low, high) in zip(asked, found, strict=True))
    return Pixels(dtype.name, bands, (first, second, third))


def _readable(path: Path, bands: Channels | None = None) -> np.ndarray | None:
    """An image, or these bands of it; None for one that the check of all files will name."""
    try:
        image = read_bands(path)
        return image if bands is None else choose_bands(image, bands, path)
    except InputError:
        return None


def percentiles(images: Sequence[Path], bands: Channels) -> list[ByteRange]:
    """PERCENTILES of each channel over a sample of pixels. Files that cannot be read and nodata are left out.

    Args:
        images: The training images.
        bands: The band of each channel, counted from 0.

    Returns:
        The lower and upper percentile of each of three channels.

    Raises:
        InputError: Many values look like nodata that is not marked.
    """

    def sample(path: Path) -> np.ndarray:
        image = _readable(path, bands)
        if image is None:
            return np.empty((0, 3), np.float32)
        nodata = find_nodata(image)
        step = image.shape[0] * image.shape[1] // SAMPLED_PIXELS | 1  # odd, so that columns take turns
        few = np.ma.getdata(image).reshape(-1, 3)[::step].astype(np.float32)
        return few if nodata is None else few[~nodata.reshape(-1, 3)[::step].any(axis=1)]

    chosen = images[:: max(1, len(images) // SAMPLED_IMAGES)]
    pixels = np.concatenate(list(map_in_threads(sample, chosen, "value ranges")))
    if not len(pixels):
        return [(0.0, 1.0)] * 3
    low, high = np.percentile(pixels, PERCENTILES, axis=0).tolist()
    _refuse_unmarked(pixels, low, high, chosen[0].parent)
    return [(a, b) if a < b else (a, a + 1) for a, b in zip(low, high, strict=True)]


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
