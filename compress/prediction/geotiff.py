"""Class maps as TIFF files, written tile by tile, that lie where their image lies."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from compress.data.decoders.tiff import GDAL_NODATA
from compress.data.formats import TIFF_ENDINGS
from compress.data.labels import IGNORE
from compress.data.windows import Size
from compress.prediction.card import ModelCard
from search_spaces.errors import InputError

TILE = 256  # pixels a side of a tile of the file
LEVELS = 257  # of a colour of 16 bits for one of 8 bits
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams, RPCs
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 50844)
COPIED_TAGS = (*GEO_TAGS, 306, 315, 33432)  # and DateTime, Artist, Copyright

ExtraTag = tuple[int, int, int, Any, bool]


def copied_tags(path: Path) -> list[ExtraTag]:
    """The tags of a TIFF file that say where and when its picture was taken.

    Args:
        path: The file of an image.

    Returns:
        The tags as tifffile writes them; none for another file, and for one that cannot be read.
    """
    if not path.name.lower().endswith(TIFF_ENDINGS):
        return []
    try:
        with tifffile.TiffFile(path) as file:
            tags = [tag for tag in file.pages.first.tags if tag.code in COPIED_TAGS]
            return [
                (tag.code, int(tag.dtype), 0 if isinstance(tag.value, str) else tag.count, tag.value, True)
                for tag in tags
            ]
    except Exception:  # tifffile raises many kinds for a damaged file; whoever reads the picture says what is wrong
        return []


def has_place(tags: Iterable[ExtraTag]) -> bool:
    """Whether tags say where on earth a picture lies.

    Args:
        tags: What `copied_tags` found.

    Returns:
        Whether one of GEO_TAGS is there.
    """
    return any(tag[0] in GEO_TAGS for tag in tags)


def write_class_map(path: Path, rows: Iterable[np.ndarray], size: Size, card: ModelCard, tags: list[ExtraTag]) -> None:
    """Writes a class map whose rows come one after the other. Its palette has the colours of the classes.

    Args:
        path: The file to write.
        rows: The next rows: n,W bytes, IGNORE where nothing was measured.
        size: Height and width, in pixels.
        card: Has the colours.
        tags: What `copied_tags` found in the image.

    Raises:
        InputError: The file cannot be written.
    """
    colours = np.zeros((3, 256), np.uint16)
    colours[:, : len(card.colours)] = np.array(card.colours, np.uint16).T * LEVELS
    part = path.with_name(f".{path.name}.part")
    nodata: ExtraTag = (GDAL_NODATA, 2, 0, str(IGNORE), True)
    try:
        tifffile.imwrite(
            part,
            tiles_of(rows, size),
            shape=size,
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="palette",
            colormap=colours,
            compression="zlib",
            maxworkers=1,
            metadata=None,
            extratags=[*tags, nodata],
        )
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        part.unlink(missing_ok=True)


def tiles_of(rows: Iterable[np.ndarray], size: Size) -> Iterator[np.ndarray]:
    """The tiles of a file, from rows that come one after the other.

    Args:
        rows: The next rows: n,W bytes.
        size: Height and width of the whole, in pixels.

    Yields:
        TILE,TILE bytes, row by row. Beyond the edges they are IGNORE.
    """
    across = -(-size[1] // TILE)
    waiting = np.full((0, across * TILE), IGNORE, np.uint8)
    for some in _padded(rows, across * TILE):
        waiting = np.concatenate([waiting, some])
        while len(waiting) >= TILE:
            yield from _cut(waiting[:TILE], across)
            waiting = waiting[TILE:]
    if len(waiting):
        last = np.full((TILE, across * TILE), IGNORE, np.uint8)
        last[: len(waiting)] = waiting
        yield from _cut(last, across)


def _padded(rows: Iterable[np.ndarray], width: int) -> Iterator[np.ndarray]:
    return (np.pad(some, ((0, 0), (0, width - some.shape[1])), constant_values=IGNORE) for some in rows)


def _cut(strip: np.ndarray, across: int) -> Iterator[np.ndarray]:
    return (np.ascontiguousarray(strip[:, i * TILE : (i + 1) * TILE]) for i in range(across))
