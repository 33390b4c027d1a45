"""Parts of images, and how a scene is covered by parts of one size."""

from dataclasses import dataclass

import numpy as np

Size = tuple[int, int]  # height and width, in pixels


@dataclass(frozen=True)
class Window:
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, array: np.ndarray) -> np.ndarray:
        """The part of an array.

        Args:
            array: H,W or H,W,channels.

        Returns:
            A view of height,width or height,width,channels.
        """
        return array[self.top : self.top + self.height, self.left : self.left + self.width]

    @property
    def bottom(self) -> int:
        """The first row below the window."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column to the right of the window."""
        return self.left + self.width


def spread(length: int, side: int, overlap: int = 0) -> list[int]:
    """Where windows of one side begin, so that they cover a length evenly.

    Args:
        length: The length to cover, in pixels.
        side: The side of a window, in pixels.
        overlap: How many pixels neighbours share at least.

    Returns:
        The fewest beginnings. The first is 0, and the last window ends at the end; a length that is shorter than a
        window has the beginning 0 alone.
    """
    if length <= side:
        return [0]
    count = -(-(length - overlap) // (side - overlap))
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def grid(area: Window, tile: Size) -> list[Window]:
    """Covers a part of an image with tiles that overlap as little as they can.

    Args:
        area: The part.
        tile: Height and width of a tile, in pixels.

    Returns:
        The tiles, row by row. A side of the part that is shorter than a tile makes the tiles shorter.
    """
    height, width = min(tile[0], area.height), min(tile[1], area.width)
    return [
        Window(area.top + top, area.left + left, height, width)
        for top in spread(area.height, height)
        for left in spread(area.width, width)
    ]
