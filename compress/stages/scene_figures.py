"""The accuracy of the shipped file on whole scenes, tile by tile with blended scores, as compress.predict goes."""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress.data.dataset import DataSet, Pair
from compress.data.decoding import decode_mask
from compress.data.formats import read_bands
from compress.data.labels import IGNORE
from compress.data.windows import Size, Window
from compress.evaluation.metrics import confusion, mean_iou
from compress.evaluation.sliding import OVERLAP, Tiling, classify
from compress.evaluation.tile_scores import TileScores, open_tile_scores


def scene_figures(data: DataSet, tile: Size, model: bytes) -> dict[str, Any]:
    """Runs a file over the scenes of the validation split.

    Args:
        data: The data set.
        tile: Height and width of a tile, in pixels: the input size.
        model: The bytes of the .tflite file.

    Returns:
        Under `scenes`: mIoU (0..1) over the pixels that were measured and have a label, the number of scenes or of
        their parts, of tiles and of those that were passed over, the overlap, ms per tile and seconds per scene.
        Nothing where the split has no scene.
    """
    parts = {(pair.image, pair.area): pair for pair in data.val if pair.area is not None}
    if not parts:
        return {}
    scores = open_tile_scores(model, tile)
    counts = torch.zeros(len(data.classes), len(data.classes), dtype=torch.long)
    tiles, begun = 0, time.perf_counter()
    for pair in parts.values():
        tiling = Tiling(_area(pair), tile)
        tiles += len(tiling)
        counts += _count(data, pair, tiling, scores)
    return {
        "scenes": {
            "miou": mean_iou(counts),
            "scenes": len(parts),
            "tiles": tiles,
            "empty_tiles": scores.empty,
            "overlap": OVERLAP,
            "ms_per_tile": statistics.median(scores.times_ms) if scores.times_ms else None,
            "s_per_scene": (time.perf_counter() - begun) / len(parts),
        }
    }


def _area(pair: Pair) -> Window:
    if pair.area is None:
        raise ValueError(f"{pair.image} is no scene")
    return pair.area


def _count(data: DataSet, pair: Pair, tiling: Tiling, scores: TileScores) -> torch.Tensor:
    """Pixel counts classes,classes (truth, predicted) of a scene."""
    image: Path = pair.image
    score = scores.of_scene(lambda window: read_bands(image, window), data.pixels, image)
    counts = torch.zeros(len(data.classes), len(data.classes), dtype=torch.long)
    area = tiling.area
    top = area.top
    for rows in classify(tiling, score, len(data.classes)):
        truth = decode_mask(pair.mask, data.labels, Window(top, area.left, len(rows), area.width))
        truth = np.where(rows == IGNORE, np.uint8(data.ignore), truth)
        predicted = torch.from_numpy(np.where(rows == IGNORE, np.uint8(0), rows))
        counts += confusion(
            predicted[None].long(), torch.from_numpy(truth)[None].long(), len(data.classes), data.ignore
        )
        top += len(rows)
    return counts
