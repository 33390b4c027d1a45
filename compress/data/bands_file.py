"""`bands.txt`: which bands of an image are the channels of a network, and which values become bytes.

One line for each channel, 16 at most: the band, counted from 1 as GIS programs do, optionally its name, and optionally
the values that become the bytes 0 and 255.

    4 nir 0 3000
    3 red 0 3000
    2 green 0 3000

One line alone stands for three channels.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search_spaces.errors import InputError
from search_spaces.genotype import MAX_BANDS
from search_spaces.ops import RGB_BANDS

NAME = re.compile(r"[A-Za-z][\w.-]*")
NO_NAMES = ("nan", "inf", "infinity")  # which are numbers
ByteRange = tuple[float, float]  # the values that become the bytes 0 and 255
Channels = tuple[int, ...]  # the band of each channel, counted from 0


@dataclass(frozen=True)
class Bands:
    """What a bands.txt says.

    Attributes:
        bands: The band of each channel, counted from 0.
        ranges: The range of each channel; None where the file gives none.
        names: The name of each channel; empty where the file gives no names.
    """

    bands: Channels
    ranges: tuple[ByteRange | None, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Line:
    band: int
    name: str
    limits: ByteRange | None


def read_bands_file(path: Path) -> Bands:
    """Reads a bands.txt.

    Args:
        path: The file.

    Returns:
        Its channels.

    Raises:
        InputError: The file cannot be read, has no line or too many, a line has no meaning, or two lines are the same
            channel or have the same name. The message names the file and the line.
    """
    try:
        written = [line.split() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); write BAND [NAME] [LOW HIGH] on each line") from error
    lines = [_parse_line(words, path) for words in written if words and not words[0].startswith("#")]
    if not 1 <= len(lines) <= MAX_BANDS:
        raise InputError(f"{path}: {len(lines)} lines; give one for each channel, 1 to {MAX_BANDS}")
    if len(set(lines)) == 1 and len(lines) in (1, RGB_BANDS):
        return Bands((lines[0].band,) * RGB_BANDS, (lines[0].limits,) * RGB_BANDS)
    _refuse_twice(lines, path)
    names = tuple(line.name for line in lines)
    if any(names) and not all(names):
        unnamed = lines[names.index("")].band + 1
        raise InputError(f"{path}: band {unnamed} has no name, others have; name all bands or none")
    return Bands(tuple(line.band for line in lines), tuple(line.limits for line in lines), names if any(names) else ())


def _refuse_twice(lines: list[_Line], path: Path) -> None:
    """Raises InputError for a channel or a name that is there twice. A band may have two ranges, as CT windows do."""
    channels = [(line.band, line.limits) for line in lines]
    names = [line.name.lower() for line in lines if line.name]
    for number, channel in enumerate(channels, start=1):
        if channel in channels[: number - 1]:
            same = f"lines {channels.index(channel) + 1} and {number} are the same band {channel[0] + 1}"
            raise InputError(f"{path}: {same}; leave one of them out, or give them different ranges")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InputError(f"{path}: the name {twice} is there twice; give each band a name of its own")


def _parse_line(words: list[str], path: Path) -> _Line:
    name = words[1] if len(words) > 1 and NAME.fullmatch(words[1]) and words[1].lower() not in NO_NAMES else ""
    try:
        band, *limits = int(words[0]), *map(float, words[2 if name else 1 :])
    except ValueError:
        band, limits = 0, []
    if band < 1 or len(limits) not in (0, 2) or not np.isfinite(limits).all() or limits != sorted(set(limits)):
        form = "give BAND [NAME] [LOW HIGH], such as '4', '4 nir' or '4 nir 0 3000'"
        raise InputError(f"{path}: {' '.join(words)}: {form}")
    return _Line(band - 1, name, (limits[0], limits[1]) if limits else None)
