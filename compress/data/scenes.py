"""Scenes in a data set: each is many tiles of the size at which the network sees images, at the scene's own scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress.data.cache import cached_result
from compress.data.decoders.tiff_windows import open_tiff
from compress.data.decoding import decode_mask
from compress.data.formats import read_bands, read_stored_mask
from compress.data.labels import IGNORE, Labels
from compress.data.pairs import Pair
from compress.data.scene_files import scene_size
from compress.data.threads import map_in_threads
from compress.data.windows import Size, Window, grid
from search_spaces.errors import InputError

TILE = (512, 512)  # of a scene, where nobody says the input size
MAX_NAMED = 4  # scenes in the notes; of more the sum is said
STREAM = 2  # of random numbers beside those of the crop's augmentation


@dataclass(frozen=True)
class Cut:
    """A split whose scenes are cut into tiles.

    Attributes:
        pairs: Its pairs. A tile is a pair with a window.
        notes: What the user should know, a line each.
    """

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def cut_scenes(pairs: Sequence[Pair], tile: Size, labels: Labels, split: str) -> Cut:
    """Cuts the scenes of a split into tiles. Tiles without any label are left out.

    Args:
        pairs: The pairs of a split. A pair with a window stands for this part of a scene.
        tile: Height and width of a tile, in pixels.
        labels: How masks are read.
        split: The name of the split, for the notes.

    Returns:
        The pairs, in the same order.

    Raises:
        InputError: A scene or its mask cannot be read by parts, or the two have different sizes.
    """
    made: list[Pair] = []
    lines: list[str] = []
    total = 0
    for pair in pairs:
        size = scene_size(pair.image)
        if size is None:
            made.append(pair)
            continue
        _require_mask(pair, size)
        area = pair.window or Window(0, 0, *size)
        tiles = grid(area, tile)
        kept = _labelled(pair.mask, tiles, labels) or tiles
        made += [replace(pair, window=window, area=area) for window in kept]
        total += len(kept)
        part = f"rows {area.top:,} to {area.bottom:,}, columns {area.left:,} to {area.right:,} of " * bool(pair.window)
        empty = f"; {len(tiles) - len(kept):,} more have no label and are left out" * (len(kept) < len(tiles))
        shape = f"{part}{pair.image.name} ({size[1]:,} x {size[0]:,} pixels)"
        lines.append(f"{split}: {shape} is {len(kept):,} tiles of {tile[0]}x{tile[1]}{empty}")
    if len(lines) > MAX_NAMED:
        lines = [f"{split}: {len(lines):,} scenes are {total:,} tiles of {tile[0]}x{tile[1]}", lines[0]]
    return Cut(tuple(made), tuple(lines))


def shifted(pair: Pair, seed: int, item: int) -> Pair:
    """Moves a tile, so that crops lie anywhere in a scene and not only within the tiles of the grid.

    Args:
        pair: A pair; one that is no tile stays as it is.
        seed: The seed of the crops.
        item: The index of the crop.

    Returns:
        The tile, moved by up to half its sides within its part of the scene.
    """
    window, area = pair.window, pair.area
    if window is None or area is None:
        return pair
    rng = np.random.default_rng((seed, item, STREAM))
    top, left = (
        int(rng.integers(max(first, at - side // 2), min(last - side, at + side // 2) + 1))
        for at, side, first, last in (
            (window.top, window.height, area.top, area.bottom),
            (window.left, window.width, area.left, area.right),
        )
    )
    return replace(pair, window=replace(window, top=top, left=left))


def _require_mask(pair: Pair, size: Size) -> None:
    """Raises InputError when a scene or its mask cannot be read by parts, or when they do not fit."""
    corner = Window(0, 0, 1, 1)
    read_bands(pair.image, corner)
    read_stored_mask(pair.mask, corner)
    found = open_tiff(pair.mask).size
    if found != size:
        sizes = f"{found[1]}x{found[0]} but {pair.image} is {size[1]}x{size[0]}"
        raise InputError(f"{pair.mask}: the mask is {sizes}; make them the same size")


def _labelled(mask: Path, tiles: Sequence[Window], labels: Labels) -> list[Window]:
    """The tiles that have a label; a tile that cannot be read too, the check will name it. Kept under runs/data."""

    def has_label(window: Window) -> bool:
        try:
            return bool((decode_mask(mask, labels, window) != IGNORE).any())
        except InputError:
            return True

    def parse(kept: list[int]) -> list[Window]:
        return [tiles[place] for place in kept]

    def find() -> list[int]:
        found = map_in_threads(has_label, tiles, f"labels of {mask.name}")
        return [place for place, has in enumerate(found) if has]

    return cached_result("labelled-tiles", (labels, tiles), [mask], find, parse)
