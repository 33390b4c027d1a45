"""python benchmarks/scenes.py RUN [--sides 2000 20000] [--land-cover LANDCOVER_RUN]: prediction of scenes.

Writes GeoTIFF files of random fields into a temporary folder and runs compress.predict with RUN on each: seconds, tiles
and peak memory. --land-cover takes a run that was trained on the land-cover data: all its tiles are put together to one
scene, which is predicted without and with overlap. What is measured there: whether a tile's class stands wherever it
counts alone, mIoU, and how often the class changes from pixel to pixel where tiles meet and elsewhere.

benchmarks/scenes.md is what it prints.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image
from process_memory import run_measured

from compress.data.formats import read_bands, read_stored_mask
from compress.data.labels import IGNORE
from compress.data.landcover.make import CLASSES
from compress.data.windows import Window
from compress.evaluation.metrics import confusion, mean_iou
from compress.evaluation.sliding import Span, Tiling
from compress.prediction.segmenter import open_segmenter

HERE = Path(__file__).parent.parent
TILES = HERE / "compress" / "data" / "landcover"
BLOCK = 256  # pixels a side of a tile of the files
PLACE = [  # UTM zone 33N, 0.1 m a pixel
    (33550, "d", 3, (0.1, 0.1, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5400000.0, 0.0), True),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]


def write_scene(path: Path, side: int) -> None:
    """Writes a GeoTIFF of smooth fields with noise, tile by tile.

    Args:
        path: The file.
        side: Its side, in pixels.
    """
    across = -(-side // BLOCK)
    coarse = np.random.default_rng(0).integers(0, 200, (across + 1, across + 1, 3)).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 40, (BLOCK, BLOCK, 3)).astype(np.uint8)

    def tiles() -> Iterator[np.ndarray]:
        for row in range(across):
            for column in range(across):
                corners = Image.fromarray(coarse[row : row + 2, column : column + 2])
                yield np.asarray(corners.resize((BLOCK, BLOCK), Image.Resampling.BILINEAR)) + noise

    options = {"tile": (BLOCK, BLOCK), "compression": "zlib", "photometric": "rgb", "maxworkers": 1}
    tifffile.imwrite(path, tiles(), shape=(side, side, 3), dtype=np.uint8, extratags=PLACE, **options)


def predict_sides(run: Path, sides: list[int], folder: Path) -> None:
    """Predicts scenes of several sizes and prints a table.

    Args:
        run: The run whose model is used.
        sides: Of the scenes, in pixels.
        folder: A temporary folder.
    """
    print("| scene | tiles | ms per tile | s per scene | peak RSS, MiB |")
    print("|---|---|---|---|---|")
    for side in sides:
        path = folder / f"{side}.tif"
        write_scene(path, side)
        command = [sys.executable, "-m", "compress.predict", str(run.absolute()), str(path), "--scene"]
        ran = run_measured([*command, "--out", str(folder / "out")], HERE)
        line = json.loads(ran.out)
        size = f"{side:,} x {side:,}, {path.stat().st_size / 2**20:,.0f} MiB"
        path.unlink()
        cells = (f"{line['tiles']:,}", f"{line['ms_per_tile']:.1f}", f"{line['s']:,.0f}", f"{ran.largest / 2**20:,.0f}")
        print(f"| {size} | {' | '.join(cells)} |", flush=True)


def stitch(folder: Path) -> tuple[Path, np.ndarray]:
    """Puts all tiles of the land-cover data where they lie. What is between them has no opacity.

    Args:
        folder: Where the scene is written.

    Returns:
        The scene, and its mask H,W.
    """
    places = {path: tuple(map(int, re.findall(r"\d+", path.stem))) for path in sorted((TILES / "images").iterdir())}
    side = read_bands(next(iter(places))).shape[0]
    top, left = (min(place[axis] for place in places.values()) for axis in (0, 1))
    height, width = (
        max(place[axis] for place in places.values()) + side - first for axis, first in ((0, top), (1, left))
    )
    image, mask = np.zeros((height, width, 4), np.uint8), np.full((height, width), IGNORE, np.uint8)
    for path, (row, column) in places.items():
        at = Window(row - top, column - left, side, side)
        at.of(image)[:] = np.dstack([read_bands(path), np.full((side, side), 255, np.uint8)])
        at.of(mask)[:] = read_stored_mask(TILES / "masks" / f"{path.stem}.png").values
    path = folder / "landcover.tif"
    options = {"tile": (BLOCK, BLOCK), "compression": "zlib", "photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, image, extratags=PLACE, **options)
    print(f"\n{len(places)} tiles of {side}x{side} are a scene of {width:,} x {height:,} pixels.\n")
    return path, mask


def seams(run: Path, folder: Path) -> None:
    """Predicts the land-cover scene with several overlaps and prints what happens where tiles meet.

    Args:
        run: A run that was trained on the land-cover data.
        folder: A temporary folder.
    """
    path, truth = stitch(folder)
    segmenter = open_segmenter(run)
    print("| overlap | tiles | empty | s | mIoU | as the tile alone | changes where tiles meet | elsewhere |")
    print("|---|---|---|---|---|---|---|---|")
    for overlap in (0.0, 0.25):
        command = [sys.executable, "-m", "compress.predict", str(run.absolute()), str(path), "--scene"]
        ran = run_measured([*command, "--out", str(folder / "out"), "--overlap", str(overlap)], HERE)
        line = json.loads(ran.out)
        found = read_stored_mask(Path(line["mask"]))
        predicted = np.where(found.nodata, IGNORE, found.values)
        tiling = Tiling(Window(0, 0, *truth.shape), segmenter.card.tile, overlap)
        known = torch.from_numpy(np.where(predicted == IGNORE, IGNORE, truth))[None].long()
        inside = torch.from_numpy(np.where(predicted == IGNORE, 0, predicted))[None].long()
        miou = mean_iou(confusion(inside, known, len(CLASSES), IGNORE))
        met, other = changes(predicted, tiling)
        same = alone(segmenter, path, predicted, tiling)
        cells = (f"{overlap:.1%}", line["tiles"], line["empty_tiles"], f"{line['s']:.0f}", f"{miou:.4f}")
        print(f"| {' | '.join(map(str, cells))} | {same:.2%} | {met:.2%} | {other:.2%} |", flush=True)


def changes(predicted: np.ndarray, tiling: Tiling) -> tuple[float, float]:
    """How often the class changes from pixel to pixel.

    Args:
        predicted: The class map H,W.
        tiling: How the scene was covered.

    Returns:
        The share of neighbours with different classes, in the middle between two tiles, and elsewhere.
    """
    counts = np.zeros((2, 2))
    for spans, map_ in ((tiling.columns, predicted), (tiling.rows, predicted.T)):
        measured = (map_[:, 1:] != IGNORE) & (map_[:, :-1] != IGNORE)
        differ = (map_[:, 1:] != map_[:, :-1]) & measured
        middles = [(span.falls + span.last) // 2 - 1 for span in spans[:-1]]
        is_seam = np.zeros(differ.shape[1], bool)
        is_seam[middles] = True
        for place, columns in enumerate((is_seam, ~is_seam)):
            counts[place] += differ[:, columns].sum(), measured[:, columns].sum()
    return tuple(counts[:, 0] / np.maximum(1, counts[:, 1]))  # type: ignore[return-value]


def alone(segmenter: object, path: Path, predicted: np.ndarray, tiling: Tiling) -> float:
    """How many pixels have the class that their only tile gives them.

    Args:
        segmenter: The model.
        path: The scene.
        predicted: Its class map H,W.
        tiling: How it was covered.

    Returns:
        The share of the measured pixels that count in one tile alone.
    """
    same = total = 0
    for row in tiling.rows:
        for column in tiling.columns:
            window = tiling.window(row, column)
            inner = _inner(row, column)
            there = inner.of(predicted)
            if (there == IGNORE).all():
                continue
            image = segmenter.card.pixels.to_bytes(read_bands(path, window), path)  # type: ignore[attr-defined]
            inside = Window(inner.top - window.top, inner.left - window.left, inner.height, inner.width)
            expected = inside.of(segmenter.class_map(image))  # type: ignore[attr-defined]
            same += int((expected == there)[there != IGNORE].sum())
            total += int((there != IGNORE).sum())
    return same / total


def _inner(row: Span, column: Span) -> Window:
    return Window(row.risen, column.risen, row.falls - row.risen, column.falls - column.risen)


def main() -> None:
    """Runs the measurements."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("run", type=Path)
    flags.add_argument("--sides", type=int, nargs="*", default=[2000, 20000])
    flags.add_argument("--land-cover", type=Path)
    given = flags.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    with tempfile.TemporaryDirectory() as folder:
        if given.sides:
            predict_sides(given.run, given.sides, Path(folder))
        if given.land_cover:
            seams(given.land_cover, Path(folder))


if __name__ == "__main__":
    main()
