"""Parts of large TIFF files: only the tiles or strips of the file that a part touches are read and decoded."""

import os
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile

from compress.data.decoders import tiff
from compress.data.decoders.raster import Raster, require_size, unreadable
from compress.data.windows import Size, Window
from search_spaces.errors import InputError

MAX_SEGMENT_BYTES = 2**26  # of one tile or strip of a file, decoded
CACHED_BYTES = 2**27  # of decoded tiles and strips, over all files that are open
OPEN_FILES = 16
UNCOMPRESSED = tifffile.COMPRESSION.NONE
REWRITE = "write it in tiles (gdal_translate -co TILED=YES -co COMPRESS=DEFLATE FILE NEW)"


class SegmentCache:
    """The tiles and strips that were decoded last, so that neighbouring windows decode them once."""

    def __init__(self, size: int) -> None:
        """Makes an empty cache.

        Args:
            size: How many bytes it keeps.
        """
        self.size, self.kept, self.lock = size, 0, Lock()
        self.arrays: OrderedDict[tuple, np.ndarray] = OrderedDict()

    def get(self, key: tuple) -> np.ndarray | None:
        """A tile or strip.

        Args:
            key: Names its file and its place there.

        Returns:
            Its values; None where it is not kept.
        """
        with self.lock:
            if key in self.arrays:
                self.arrays.move_to_end(key)
            return self.arrays.get(key)

    def put(self, key: tuple, array: np.ndarray) -> None:
        """Keeps a tile or strip. Those that were used longest ago are dropped.

        Args:
            key: Names its file and its place there.
            array: Its values.
        """
        with self.lock:
            if key not in self.arrays:
                self.arrays[key] = array
                self.kept += array.nbytes
            while self.kept > self.size and len(self.arrays) > 1:
                self.kept -= self.arrays.popitem(last=False)[1].nbytes


SEGMENTS = SegmentCache(CACHED_BYTES)


@dataclass(frozen=True)
class OpenTiff:
    """A TIFF file whose directory has been read. It is safe in threads and in forked processes.

    Attributes:
        path: The file.
        state: Its size and time of change.
        series: The picture in full size, as tifffile describes it.
        valid: The page that marks valid pixels, or None.
        descriptor: The open file.
    """

    path: Path
    state: tuple[int, int]
    series: Any
    valid: Any
    descriptor: int = field(default=-1)

    @property
    def page(self) -> Any:
        """The first page of the picture, as tifffile describes it."""
        return self.series.pages[0].keyframe

    @property
    def size(self) -> Size:
        """Height and width of the picture, in pixels."""
        return int(self.page.imagelength), int(self.page.imagewidth)

    def read(self, window: Window) -> Raster:
        """Reads a part of the picture.

        Args:
            window: The part, within the picture.

        Returns:
            What `compress.data.decoders.tiff.decode` returns, cut to the part.

        Raises:
            InputError: The values are of a kind that is not read.
            ValueError: The part lies beyond the picture, or the file is damaged.
        """
        height, width = self.size
        if window.top < 0 or window.left < 0 or window.bottom > height or window.right > width:
            raise ValueError(f"rows {window.top} to {window.bottom} are not all in a picture of {width}x{height}")
        tiff.require_plain(self.page, self.path)
        bands = [self._samples(page, number, window) for number, page in enumerate(self.series.pages)]
        valid = None if self.valid is None else self._samples(self.valid, -1, window)[..., 0]
        samples = bands[0] if len(bands) == 1 else np.concatenate(bands, axis=2)
        return tiff.raster_of(self.page, samples, valid, self.path)

    def _samples(self, page: Any, number: int, window: Window) -> np.ndarray:
        """A part of a page: h,w,samples."""
        kept = page.keyframe
        out = np.empty((window.height, window.width, kept.samplesperpixel), kept.dtype)
        high, wide = segment_size(kept)
        across, down = -(-kept.imagewidth // wide), -(-kept.imagelength // high)
        contiguous = kept.planarconfig == tifffile.PLANARCONFIG.CONTIG
        for plane in range(1 if contiguous else kept.samplesperpixel):
            channels = slice(None) if contiguous else slice(plane, plane + 1)
            for row in range(window.top // high, -(-window.bottom // high)):
                for column in range(window.left // wide, -(-window.right // wide)):
                    place = Window(row * high, column * wide, high, wide)
                    index = (plane * down + row) * across + column
                    part, found = self._overlap(page, number, index, place, window)
                    part.of(out)[..., channels] = found
        return out

    def _overlap(self, page: Any, number: int, index: int, place: Window, window: Window) -> tuple[Window, np.ndarray]:
        """Where a tile or strip lies in a part, and its values there."""
        top, left = max(place.top, window.top), max(place.left, window.left)
        bottom, right = min(place.bottom, window.bottom), min(place.right, window.right)
        common = Window(top, left, bottom - top, right - left)
        in_window = Window(top - window.top, left - window.left, common.height, common.width)
        if _is_read_by_rows(page.keyframe):
            return in_window, self._rows(page, index, place, common)
        inside = Window(top - place.top, left - place.left, common.height, common.width)
        return in_window, inside.of(self._segment(page, number, index))

    def _segment(self, page: Any, number: int, index: int) -> np.ndarray:
        """A tile or strip, decoded: h,w,samples. Where the file leaves it out, its values are those of nodata."""
        key = (self.path, self.state, number, index)
        found = SEGMENTS.get(key)
        if found is None:
            kept = page.keyframe
            count = page.databytecounts[index]
            jpeg = kept.compression in tiff.JPEG
            tables = {"jpegtables": page.jpegtables, "jpegheader": kept.jpegheader} if jpeg else {}
            data = self._bytes(page.dataoffsets[index], count) if count else None
            decoded, _, shape = kept.decode(data, index, **tables)
            found = np.full(shape[1:], kept.nodata, kept.dtype) if decoded is None else decoded[0]
            SEGMENTS.put(key, found)
        return found

    def _rows(self, page: Any, index: int, place: Window, part: Window) -> np.ndarray:
        """A part of a strip that is not compressed, read by its rows."""
        kept = page.keyframe
        samples = kept.samplesperpixel if kept.planarconfig == tifffile.PLANARCONFIG.CONTIG else 1
        stored = kept.dtype.newbyteorder(kept.parent.byteorder)
        row_bytes = kept.imagewidth * samples * stored.itemsize
        begin = page.dataoffsets[index] + (part.top - place.top) * row_bytes
        data = self._bytes(begin, part.height * row_bytes)
        rows = np.frombuffer(data, stored).reshape(part.height, kept.imagewidth, samples)
        return rows[:, part.left : part.right]

    def _bytes(self, begin: int, count: int) -> bytes:
        """Bytes of the file, read in a way that threads and processes share."""
        data = os.pread(self.descriptor, count, begin)
        while data and len(data) < count and (more := os.pread(self.descriptor, count - len(data), begin + len(data))):
            data += more
        if len(data) < count:
            raise ValueError("the file is cut short")
        return data


def decode(path: Path, window: Window) -> Raster:
    """Reads a part of a TIFF file.

    Args:
        path: The file.
        window: The part.

    Returns:
        What `compress.data.decoders.tiff.decode` returns, cut to the part.

    Raises:
        InputError: The file is missing, damaged or of a kind that is not read by parts.
    """
    opened = open_tiff(path)
    require_size(path, window.height, window.width, opened.page.samplesperpixel * len(opened.series.pages))
    try:
        return opened.read(window)
    except InputError:
        raise
    except Exception as error:  # tifffile and the decoders raise many kinds for a damaged file
        raise unreadable(path, error) from error


def open_tiff(path: Path, by_parts: bool = True) -> OpenTiff:
    """Opens a TIFF file to be read by parts. The last OPEN_FILES files stay open.

    Args:
        path: The file.
        by_parts: Whether to check that parts of it can be read without the rest.

    Returns:
        The open file.

    Raises:
        InputError: The file is missing or damaged, or cannot be read by parts.
    """
    try:
        stat = path.stat()
        opened = _open(path, (stat.st_size, stat.st_mtime_ns))
    except InputError:
        raise
    except Exception as error:  # as in `decode`
        raise unreadable(path, error) from error
    if not by_parts:
        return opened
    page = opened.page
    bytes_each = np.prod(segment_size(page), dtype=float) * page.samplesperpixel * (page.bitspersample / 8)
    if bytes_each > MAX_SEGMENT_BYTES and not _is_read_by_rows(page):
        raise InputError(f"{path}: it is compressed in parts of {bytes_each / 2**20:,.0f} MiB; {REWRITE}")
    if page.tags.valueof(tiff.ORIENTATION, 1) != 1:
        raise InputError(f"{path}: an orientation tag turns this scene; save it upright")
    return opened


@lru_cache(OPEN_FILES)
def _open(path: Path, state: tuple[int, int]) -> OpenTiff:
    with tifffile.TiffFile(path) as file:
        series, valid = tiff.full_picture(file, path)
        for page in (*series.pages, *([] if valid is None else [valid])):
            if page.keyframe.imagedepth != 1 or page.keyframe.shape[:2] != series.pages[0].keyframe.shape[:2]:
                raise ValueError("its pages have several shapes")
            _ = page.dataoffsets, page.databytecounts, page.keyframe.decode, page.keyframe.nodata  # while it is open
        _ = [tag.value for tag in series.pages[0].keyframe.tags]
        tiff.require_whole(series, state[0])
    opened = OpenTiff(path, state, series, valid, os.open(path, os.O_RDONLY))
    weakref.finalize(opened, os.close, opened.descriptor)
    return opened


def segment_size(page: Any) -> Size:
    """The size of the tiles or strips that a page is stored in.

    Args:
        page: A page, as tifffile describes it.

    Returns:
        Height and width, in pixels.
    """
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return min(int(page.rowsperstrip), int(page.imagelength)), int(page.imagewidth)


def _is_read_by_rows(page: Any) -> bool:
    """Whether rows of a strip can be read without the others."""
    plain = page.compression == UNCOMPRESSED and not page.is_tiled and page.predictor == 1 and page.fillorder == 1
    return plain and page.bitspersample in (8, 16, 32, 64) and page.rowsperstrip > 1 and 0 not in page.databytecounts
