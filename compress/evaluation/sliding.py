"""A scene is classified tile by tile: neighbouring tiles overlap, and their scores are blended there.

In the overlap of two tiles the weight of one falls linearly from 1 to 0 while that of the other rises. The weights of a
pixel sum to 1. A pixel outside the overlaps has the class that its only tile gives it. No more than a few rows of the
scene are in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from compress.data.labels import IGNORE
from compress.data.windows import Size, Window, spread

OVERLAP = 0.25  # of a tile's side
MAX_OVERLAP = 0.33  # with more, three tiles would meet


@dataclass(frozen=True)
class Scored:
    """What is known of a tile.

    Attributes:
        scores: h,w,classes, the largest for the class of a pixel; None where nothing was measured.
        void: h,w, true where nothing was measured; None where all was.
    """

    scores: np.ndarray | None
    void: np.ndarray | None = None


@dataclass(frozen=True)
class Span:
    """The part of a tile, in rows or in columns, that counts.

    Attributes:
        begin: Where the tile begins, in pixels of the scene.
        first: The first pixel that counts.
        risen: The first pixel after the overlap with the tile before.
        falls: The first pixel of the overlap with the next tile.
        last: The first pixel that no longer counts.
    """

    begin: int
    first: int
    risen: int
    falls: int
    last: int

    @property
    def weights(self) -> np.ndarray:
        """The weight of each pixel from `first` to `last`."""
        rise, fall = self.risen - self.first, self.last - self.falls
        flat = np.ones(self.falls - self.risen, np.float32)
        return np.concatenate([ramp(rise), flat, 1 - ramp(fall)])


def ramp(length: int) -> np.ndarray:
    """The rising weights over an overlap.

    Args:
        length: In pixels.

    Returns:
        Numbers between 0 and 1.
    """
    return ((np.arange(length) + 0.5) / max(1, length)).astype(np.float32)


def spans(begin: int, length: int, side: int, overlap: int) -> list[Span]:
    """The tiles along one side of a scene, and which part of each counts.

    Args:
        begin: Where the scene begins, in pixels.
        length: The side of the scene, in pixels.
        side: The side of a tile, in pixels.
        overlap: Over how many pixels two tiles are blended. Where they share more, the middle of it is taken.

    Returns:
        The tiles. Each pixel counts in one of them, or in two whose weights sum to 1.
    """
    side = min(side, length)
    starts = [begin + start for start in spread(length, side, overlap)]
    zones = []
    for before, after in pairwise(starts):
        first = after + (before + side - after - overlap) // 2
        zones.append((first, first + overlap))
    edges = [(begin, begin), *zones, (begin + length, begin + length)]
    return [Span(start, *rising, *falling) for start, (rising, falling) in zip(starts, pairwise(edges), strict=True)]


@dataclass(frozen=True)
class Tiling:
    """How a scene is covered.

    Attributes:
        area: The scene, or a part of it.
        tile: Height and width of a tile, in pixels.
        overlap: Over which share of its side a tile is blended with the next one, at most MAX_OVERLAP.
    """

    area: Window
    tile: Size
    overlap: float = OVERLAP

    @cached_property
    def rows(self) -> list[Span]:
        """The rows of tiles."""
        return spans(self.area.top, self.area.height, self.tile[0], int(self.overlap * self.tile[0]))

    @cached_property
    def columns(self) -> list[Span]:
        """The columns of tiles."""
        return spans(self.area.left, self.area.width, self.tile[1], int(self.overlap * self.tile[1]))

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def window(self, row: Span, column: Span) -> Window:
        """A tile.

        Args:
            row: One of `rows`.
            column: One of `columns`.

        Returns:
            Its place in the scene. A scene that is smaller than a tile makes it smaller.
        """
        height, width = min(self.tile[0], self.area.height), min(self.tile[1], self.area.width)
        return Window(row.begin, column.begin, height, width)


def classify(tiling: Tiling, score: Callable[[Window], Scored], classes: int) -> Iterator[np.ndarray]:
    """Classifies a scene from above to below.

    Args:
        tiling: How it is covered.
        score: Scores a tile.
        classes: The number of classes.

    Yields:
        The classes of the next rows: rows,W bytes, IGNORE where nothing was measured.
    """
    area = tiling.area
    above = np.zeros((0, area.width, classes), np.float16)  # as fine as the int8 scores that are summed there
    for row in tiling.rows:
        below = np.zeros((row.last - row.falls, area.width, classes), np.float16)
        found = np.zeros((row.falls - row.first, area.width), np.uint8)
        void = np.zeros(found.shape, bool)
        left = np.zeros((row.last - row.first, 0, classes), np.float32)
        for column in tiling.columns:
            scored = score(tiling.window(row, column))
            block = _counted(scored, row, column, classes)
            block[:, : left.shape[1]] += left
            done = column.falls - column.first
            block, left = block[:, :done], block[:, done:]
            at = slice(column.first - area.left, column.falls - area.left)
            block[: len(above)] += above[:, at]
            below[:, at] = block[len(found) :]
            found[:, at] = block[: len(found)].argmax(2)
            if scored.void is not None:
                seen = slice(column.first - column.begin, column.falls - column.begin)
                void[:, at] = scored.void[row.first - row.begin : row.falls - row.begin, seen]
        found[void] = IGNORE
        yield found
        above = below


def _counted(scored: Scored, row: Span, column: Span, classes: int) -> np.ndarray:
    """The part of a tile that counts, times its weights."""
    if scored.scores is None:
        return np.zeros((row.last - row.first, column.last - column.first, classes), np.float32)
    rows = slice(row.first - row.begin, row.last - row.begin)
    columns = slice(column.first - column.begin, column.last - column.begin)
    part = scored.scores[rows, columns].astype(np.float32)
    for weights, place in ((row.weights[:, None, None], 0), (column.weights[None, :, None], 1)):
        if part.shape[place] and (weights != 1).any():
            part *= weights
    return part
