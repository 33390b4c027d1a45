"""Writes images and masks in the layout of `--data folder:DIR`, split by blocks of neighbours."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

Example = tuple[str, np.ndarray, np.ndarray]  # name, image H,W or H,W,3, mask H,W; all bytes


@dataclass(frozen=True)
class BlockSplit:
    """A split of a series, such as the slices of a scan or the frames of a video, by blocks of neighbours.

    Attributes:
        blocks: The number of blocks of equal length.
        held_out: The blocks that are for validation, counted from 0.
        gap: Neighbours are much alike, so training leaves out the places within this distance of validation.
    """

    blocks: int
    held_out: tuple[int, ...]
    gap: int

    def places(self, count: int) -> dict[str, list[int]]:
        """Splits a series.

        Args:
            count: The length of the series.

        Returns:
            The places of `train` and of `val`, counted from 0.
        """
        block = [place * self.blocks // count for place in range(count)]
        val = [place for place in range(count) if block[place] in self.held_out]
        near = {place + step for place in val for step in range(-self.gap, self.gap + 1)}
        return {"train": [place for place in range(count) if place not in near], "val": val}


def write_splits(
    folder: Path, places: dict[str, list[int]], examples: Callable[[list[int]], Iterable[Example]], classes: str
) -> None:
    """Writes FOLDER/{train,val}/{images,masks}/NAME.png and FOLDER/classes.txt.

    Args:
        folder: An empty folder.
        places: The places of each split.
        examples: Makes the examples at these places.
        classes: The text of classes.txt.
    """
    for split, chosen in places.items():
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for name, image, mask in examples(chosen):
            Image.fromarray(image).save(folder / split / "images" / f"{name}.png")
            Image.fromarray(mask).save(folder / split / "masks" / f"{name}.png")
    (folder / "classes.txt").write_text(classes)
