"""Writes images and masks in the layout of `--data folder:DIR`, split by blocks of neighbours."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

Pairs = Iterable[tuple[str, np.ndarray, np.ndarray]]  # name, image H,W or H,W,3, mask H,W; all bytes


def split_blocks(count: int, blocks: int, held_out: Collection[int], gap: int) -> dict[str, list[int]]:
    """Places 0 to count - 1 cut into blocks of neighbours, those `held_out` for validation. Neighbours are much alike,
    so training leaves out what is within `gap` of validation."""
    block = [place * blocks // count for place in range(count)]
    val = [place for place in range(count) if block[place] in held_out]
    near = {place + step for place in val for step in range(-gap, gap + 1)}
    return {"train": [place for place in range(count) if place not in near], "val": val}


def write_split(folder: Path, pairs: Pairs) -> None:
    """Writes FOLDER/{images,masks}/NAME.png."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for name, image, mask in pairs:
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
