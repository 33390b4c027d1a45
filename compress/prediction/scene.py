"""The class map of a scene: tile by tile at the scene's own scale, in bounded memory."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from compress.data.decoders.tiff_windows import open_tiff
from compress.data.formats import TIFF_ENDINGS, read_bands
from compress.data.windows import Size, Window
from compress.evaluation.sliding import OVERLAP, Scored, Tiling, classify
from compress.evaluation.tile_scores import TileScores
from compress.prediction.card import ModelCard
from compress.prediction.drawing import overlay_picture
from compress.prediction.geotiff import copied_tags, write_class_map
from compress.prediction.output import save_picture

MAX_OVERLAY_SIDE = 2048  # pixels; the overlay of a larger scene is made smaller


@dataclass
class Reduced:
    """A scene and its class map, made smaller while they go by, for the overlay.

    Attributes:
        step: Every how many pixels one is taken.
        image: h,w,channels bytes.
        classes: h,w bytes.
        filled: How many rows of the scene have gone by.
        counts: Pixels of each class, IGNORE included, over the whole scene.
    """

    step: int
    image: np.ndarray
    classes: np.ndarray
    filled: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    @staticmethod
    def of(size: Size, channels: int) -> "Reduced":
        """Makes room for a scene.

        Args:
            size: Height and width of the scene, in pixels.
            channels: Of its image.

        Returns:
            The empty picture, at most MAX_OVERLAY_SIDE a side.
        """
        step = -(-max(size) // MAX_OVERLAY_SIDE)
        height, width = (-(-side // step) for side in size)
        return Reduced(step, np.zeros((height, width, channels), np.uint8), np.zeros((height, width), np.uint8))

    def add_tile(self, image: np.ndarray, window: Window) -> None:
        """Takes pixels of a tile.

        Args:
            image: h,w,channels bytes.
            window: Where the tile lies.
        """
        top, left = -(-window.top // self.step), -(-window.left // self.step)
        few = image[top * self.step - window.top :: self.step, left * self.step - window.left :: self.step]
        self.image[top : top + few.shape[0], left : left + few.shape[1]] = few

    def add_rows(self, rows: np.ndarray) -> None:
        """Takes pixels of the next rows of the class map, and counts all of them.

        Args:
            rows: n,W bytes.
        """
        top = -(-self.filled // self.step)
        few = rows[top * self.step - self.filled :: self.step, :: self.step]
        self.classes[top : top + len(few)] = few
        self.counts += np.bincount(rows.ravel(), minlength=256)
        self.filled += len(rows)


def predict_scene(
    scores: TileScores,
    card: ModelCard,
    file: Path,
    out: Path,
    overlap: float = OVERLAP,
    picture: Callable[[np.ndarray], np.ndarray] = lambda image: image,
) -> dict[str, Any]:
    """Classifies a scene, and writes its class map as TIFF and its overlay, which is made smaller.

    Args:
        scores: The model.
        card: Its card.
        file: The scene.
        out: The folder for the results.
        overlap: Over which share of its side a tile is blended with the next one.
        picture: Makes the picture h,w,3 of an image h,w,bands.

    Returns:
        What the JSON line says: file names, size, tiles, milliseconds of each, seconds of all, shares of the classes.

    Raises:
        InputError: The scene cannot be read, or has other bands than the model takes, or nothing can be written.
    """
    begun = time.perf_counter()
    read, size = scene_reader(file)
    tiling = Tiling(Window(0, 0, *size), scores.tile, overlap)
    reduced = Reduced.of(size, 3)
    scores.times_ms.clear()
    scores.empty = 0
    bar = tqdm(total=len(tiling), desc=file.name, unit="tile", leave=False, dynamic_ncols=True, disable=None)
    score_tile = scores.of_scene(read, card.pixels, file, lambda image, at: reduced.add_tile(picture(image), at))

    def score(window: Window) -> Scored:
        bar.update()
        return score_tile(window)

    def rows() -> Iterator[np.ndarray]:
        for some in classify(tiling, score, len(card.classes)):
            reduced.add_rows(some)
            yield some

    mask, overlay = out / f"{file.stem}.mask.tif", out / f"{file.stem}.overlay.png"
    with bar:
        write_class_map(mask, rows(), size, card, copied_tags(file))
    save_picture(overlay_picture(reduced.image, reduced.classes, card), overlay)
    names = {"image": str(file), "mask": str(mask), "overlay": str(overlay)}
    return {**names, **_figures(scores, tiling, time.perf_counter() - begun), **_shares(reduced, card)}


def _figures(scores: TileScores, tiling: Tiling, seconds: float) -> dict[str, Any]:
    """The size of a scene, and what its tiles took."""
    return {
        "height": tiling.area.height,
        "width": tiling.area.width,
        "tile": list(tiling.tile),
        "overlap": [int(tiling.overlap * side) for side in tiling.tile],
        "tiles": len(tiling),
        "empty_tiles": scores.empty,
        "ms_per_tile": round(statistics.median(scores.times_ms), 2) if scores.times_ms else None,
        "s": round(seconds, 2),
    }


def _shares(reduced: Reduced, card: ModelCard) -> dict[str, Any]:
    """The share of a scene where nothing was measured, and of each class in the rest."""
    counts = reduced.counts[: len(card.classes)].tolist()
    shares = {name: round(count / max(1, sum(counts)), 4) for name, count in zip(card.classes, counts, strict=True)}
    return {"nodata": round(1 - sum(counts) / int(reduced.counts.sum()), 4), "shares": shares}


def scene_reader(file: Path) -> tuple[Callable[[Window], np.ndarray], Size]:
    """Opens a picture to be read by parts.

    Args:
        file: A TIFF file, which is never read as a whole; or another picture, which is.

    Returns:
        A function that reads a part, h,w,bands as stored; height and width of the picture, in pixels.

    Raises:
        InputError: The file cannot be read.
    """
    if file.name.lower().endswith(TIFF_ENDINGS):
        return lambda window: read_bands(file, window), open_tiff(file).size
    whole = read_bands(file)
    height, width = whole.shape[:2]
    return lambda window: window.of(whole), (height, width)
