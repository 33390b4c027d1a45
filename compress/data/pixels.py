"""How an image of any depth and any bands becomes the bytes of a pixel that a network takes, one for each channel.

`bands.txt` beside the images says which bands are used and which values become the bytes 0 and 255. Without the file,
bands 1 to 3 are used, or the only band three times. Without a range, bytes stay as they are, and anything deeper is
stretched from the 1st to the 99th percentile of each band over the training images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.bands_file import Bands, ByteRange, Channels, read_bands_file
from compress.data.cache import cached_result
from compress.data.percentiles import FIRST_BANDS, choose_bands, find_nodata, parse_ranges, percentiles
from compress.data.scene_files import read_sample
from search_spaces.errors import InputError
from search_spaces.genotype import MAX_BANDS
from search_spaces.ops import RGB_BANDS

BYTE = (0.0, 255.0)
COLOURS = {"red": 0, "green": 1, "blue": 2, "r": 0, "g": 1, "b": 2}  # names of bands, and their place in RGB


@dataclass(frozen=True)
class Pixels:
    """How images become bytes.

    Channel c's byte is floor(255 * clamp((x - low) / (high - low), 0, 1) + 0.5) for x in band `bands[c]`, with
    (low, high) = `ranges[c]`. The byte is 0 where nothing was measured.

    Attributes:
        dtype: The type of the images' values.
        bands: The band of each channel, counted from 0. An only band stands for the first three.
        ranges: The values that become the bytes 0 and 255, for each channel.
        names: The name of each channel; empty where bands.txt gives none.
        stored: The number of bands that the first image has; 0 where that is not known.
    """

    dtype: str = "uint8"
    bands: Channels = FIRST_BANDS
    ranges: tuple[ByteRange, ...] = (BYTE, BYTE, BYTE)
    names: tuple[str, ...] = field(default=(), repr=False)  # what is kept of files by their `repr` depends on no name
    stored: int = field(default=0, repr=False, compare=False)

    @property
    def colours(self) -> tuple[int | None, ...]:
        """The colour that each channel shows: 0 red, 1 green, 2 blue, None for a band that is no colour.

        The names decide where one of them is a colour's. Otherwise the first three channels are red, green and blue,
        where there are three.
        """
        named = tuple(COLOURS.get(name.lower()) for name in self.names)
        if any(colour is not None for colour in named):
            return named
        return tuple(i if i < RGB_BANDS <= len(self.bands) else None for i in range(len(self.bands)))

    @property
    def visible(self) -> tuple[int, int, int] | None:
        """The channels that show red, green and blue; None where one of these is not there."""
        colours = self.colours
        if not {0, 1, 2} <= set(colours):
            return None
        return colours.index(0), colours.index(1), colours.index(2)

    def to_bytes(self, image: np.ndarray, path: Path) -> np.ndarray:
        """The bytes of an image.

        Args:
            image: H,W,bands as `compress.data.formats.read_bands` returns it.
            path: Its file, for messages.

        Returns:
            H,W,channels bytes. They are 0 where the image is masked, not finite or beyond MAX_MEASURED.

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
            Plain JSON values: `dtype`, `bands` (counted from 1), `ranges`, and `names` where there are any.
        """
        plain = {"dtype": self.dtype, "bands": [band + 1 for band in self.bands], "ranges": [*map(list, self.ranges)]}
        return {**plain, "names": list(self.names)} if self.names else plain

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
        bands = tuple(int(band) - 1 for band in value["bands"])
        ranges = tuple((float(low), float(high)) for low, high in value["ranges"])
        names = tuple(str(name) for name in value.get("names", ()))
        if not 1 <= len(bands) <= MAX_BANDS or len(ranges) != len(bands) or len(names) not in (0, len(bands)):
            raise ValueError(f"{len(bands)} bands, {len(ranges)} ranges and {len(names)} names")
        return Pixels(str(value["dtype"]), bands, ranges, names)


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
    asked = Bands(FIRST_BANDS, (None,) * len(FIRST_BANDS)) if bands_file is None else read_bands_file(bands_file)
    bands = asked.bands
    dtype, stored = next((form for form in map(_form, images) if form is not None), (np.dtype(np.uint8), 0))
    found = [BYTE] * len(bands)
    if dtype != np.uint8 and None in asked.ranges:
        about = ("without nodata", bands)
        found = cached_result(
            "ranges", about, images, lambda: percentiles(images, bands), lambda kept: parse_ranges(kept, len(bands))
        )
    ranges = tuple(given or (low, high) for given, (low, high) in zip(asked.ranges, found, strict=True))
    return Pixels(dtype.name, bands, ranges, asked.names, stored)


def _form(path: Path) -> tuple[np.dtype, int] | None:
    """The type of an image's values and the number of its bands; None for a file that the check of all files will
    name."""
    try:
        image = read_sample(path)
    except InputError:
        return None
    return image.dtype, image.shape[2]
