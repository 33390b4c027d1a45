"""Regions of an image that an annotation file gives as outlines or as runs of pixels, and the mask that they make.

Where regions overlap, the one with the smaller area lies on top. Of equal areas the later one does. A crowd is void,
and lies below all objects. Pixels are covered as pycocotools covers them, the library of COCO (Lin et al. 2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco

from compress.data.labels import IGNORE
from compress.data.statistics import Size

MIN_POINTS = 3
MAX_OUTSIDE = 10  # image sides that a point may lie outside of the image
MAX_AROUND = 2_000_000  # pixels around an outline; pycocotools keeps each of them in memory
FIRST_LETTER = 48  # of compressed runs, which hold five bits a letter


@dataclass(frozen=True)
class Region:
    """Pixels of one class.

    Attributes:
        value: The class index, or IGNORE.
        lengths: Lengths of runs of pixels, column by column, outside and inside in turns. They cover the image.
        crowd: The region lies below all others.
    """

    value: int
    lengths: Sequence[int]
    crowd: bool = False

    @property
    def area(self) -> int:
        """The number of pixels."""
        return sum(self.lengths[1::2])


def region_of_outlines(value: int, outlines: Sequence[Any], size: Size) -> Region | None:
    """Makes a region of outlines. It is all that lies in one of them.

    Args:
        value: The class index, or IGNORE.
        outlines: Each holds x0, y0, x1, y1 and so on in pixels, as numbers or as pairs of numbers.
        size: Height and width of the image, in pixels.

    Returns:
        The region; None where no outline has three points.

    Raises:
        ValueError: An outline has no such form.
    """
    flat = [_outline(outline, size) for outline in outlines]
    kept = [outline for outline in flat if len(outline) >= 2 * MIN_POINTS]
    return Region(value, _lengths(coco.merge(coco.frPyObjects(kept, *size))["counts"].decode())) if kept else None


def _outline(points: Any, size: Size) -> list[float]:
    try:
        numbers = np.asarray(points, np.float64).ravel()
    except (TypeError, ValueError):
        raise ValueError("an outline is no list of numbers") from None
    if len(numbers) % 2 or not np.isfinite(numbers).all():
        raise ValueError("an outline is no list of x and y")
    if (np.abs(numbers) > (1 + MAX_OUTSIDE) * max(size)).any():
        far = numbers[np.abs(numbers).argmax()]
        raise ValueError(f"a point lies at {far:g}, far outside of the image of {size[1]}x{size[0]} pixels")
    around = np.abs(np.diff(numbers.reshape(-1, 2), axis=0, append=numbers[:2][None])) if len(numbers) else numbers
    if around.sum() > MAX_AROUND:
        raise ValueError(f"an outline is longer than {MAX_AROUND:,} pixels")
    return [float(number) for number in numbers]


def region_of_runs(value: int, counts: Any, given_size: Any, size: Size, crowd: bool = False) -> Region:
    """Makes a region of run lengths (RLE): pixels column by column, outside and inside in turns.

    Args:
        value: The class index, or IGNORE.
        counts: The lengths of the runs as numbers, or the text that pycocotools makes of them.
        given_size: Height and width, as the annotation has them.
        size: Height and width of the image, in pixels.
        crowd: The region lies below all others.

    Returns:
        The region.

    Raises:
        ValueError: The runs are damaged, or are those of an image of another size.
    """
    if not isinstance(given_size, list) or given_size != list(size):
        raise ValueError(f"its runs are of size {str(given_size)[:40]}, the image has {list(size)}")
    lengths = _lengths(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(type(n) is int and n >= 0 for n in lengths) or not lengths:
        raise ValueError("its runs are damaged")
    if sum(lengths) != size[0] * size[1]:
        raise ValueError(f"its runs cover {sum(lengths)} pixels, the image has {size[0] * size[1]}")
    return Region(value, lengths, crowd)


def _lengths(text: str) -> list[int]:
    """Run lengths of pycocotools' text. It has five bits a letter, the lowest first, and each length from the fourth on
    is less the length two before."""
    lengths: list[int] = []
    number = shift = 0
    for letter in text:
        bits = ord(letter) - FIRST_LETTER
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its runs are damaged")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        number -= (1 << shift) if bits & 16 else 0
        lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
        number = shift = 0
    if shift:
        raise ValueError("its runs are cut short")
    return lengths


def region_of_bitmap(value: int, bitmap: np.ndarray, corner: tuple[int, int], size: Size) -> Region:
    """Makes a region of a bitmap that covers a part of the image.

    Args:
        value: The class index, or IGNORE.
        bitmap: h,w, not zero where the region is.
        corner: The column and row of its upper left pixel.
        size: Height and width of the image, in pixels.

    Returns:
        The region.

    Raises:
        ValueError: The bitmap is not inside of the image.
    """
    left, top = corner
    height, width = bitmap.shape
    if min(left, top) < 0 or left + width > size[1] or top + height > size[0]:
        raise ValueError(f"its mask of {width}x{height} pixels at {left}, {top} is not inside of the image")
    whole = np.zeros(size, bool)
    whole[top : top + height, left : left + width] = bitmap != 0
    ends = np.flatnonzero(np.diff(whole.ravel(order="F"), prepend=False))
    return Region(value, np.diff(ends, prepend=0, append=whole.size).tolist())


def draw_regions(regions: Sequence[Region], size: Size) -> np.ndarray:
    """Draws the mask of an image.

    Args:
        regions: The regions, in the order of the annotations.
        size: Height and width of the image, in pixels.

    Returns:
        H,W class indices, uint8; 0 where there is no region, IGNORE for void.
    """
    columns = np.zeros(size[0] * size[1], np.uint8)  # column by column
    for region in sorted(regions, key=lambda region: (not region.crowd, -region.area)):  # keeps the order of equals
        inside = np.repeat(np.arange(len(region.lengths)) % 2 > 0, region.lengths)
        columns[inside] = IGNORE if region.crowd else region.value
    return np.ascontiguousarray(columns.reshape(size[::-1]).T)
