"""`bands.txt`: which bands of an image are the three channels of a network, and which values become bytes.

One line for each channel: the band, counted from 1 as GIS programs do, and optionally the values that become the bytes
0 and 255.

    4 0 3000
    3 0 3000
    2 0 3000

One line stands for all three.
"""

from pathlib import Path

import numpy as np

from search_spaces.errors import InputError

Channels = tuple[int, int, int]
ByteRange = tuple[float, float]  # the values that become the bytes 0 and 255


def read_bands_file(path: Path) -> tuple[Channels, tuple[ByteRange | None, ...]]:
    """Reads a bands.txt.

    Args:
        path: The file.

    Returns:
        The band of each of three channels, counted from 0, and its range; None where the file gives no range.

    Raises:
        InputError: The file cannot be read, or a line has no meaning. The message names the file and the line.
    """
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
