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
from compress.data.percentiles import FIRST_BANDS, choose_bands, find_nodata, parse_ranges, percentiles
from compress.data.scene_files import read_sample
from search_spaces.errors import InputError

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
    dtype = next((dtype for dtype in map(_type, images) if dtype is not None), np.dtype(np.uint8))
    found = [BYTE] * 3
    if dtype != np.uint8 and None in asked:
        about = ("without nodata", bands)
        found = cached_result("ranges", about, images, lambda: percentiles(images, bands), parse_ranges)
    first, second, third = (given or (low, high) for given, (low, high) in zip(asked, found, strict=True))
    return Pixels(dtype.name, bands, (first, second, third))


def _type(path: Path) -> np.dtype | None:
    """The type of an image's values; None for a file that the check of all files will name."""
    try:
        return read_sample(path).dtype
    except InputError:
        return None
