"""The images from which the ranges of int8 values are found."""

import numpy as np
import torch
from torch import Tensor

from compress.data.dataset import DataSet, read_pair
from compress.data.resizing import at_resolution
from compress.data.spread import evenly_spread

CALIBRATION_IMAGES = 32
TRAIN, VALIDATION = CALIBRATION_SPLITS = ("train", "val")


def calibration_images(
    data: DataSet, resolution: tuple[int, int], device: torch.device, split: str = TRAIN
) -> list[Tensor]:
    """Reads images that are evenly spread over a split.

    Args:
        data: The data set.
        resolution: Height and width that a network sees, pixels.
        device: Where the images are put.
        split: One of CALIBRATION_SPLITS.

    Returns:
        At most CALIBRATION_IMAGES images 1,bands,h,w in 0..1.
    """
    whole = data.val if split == VALIDATION else data.train
    pairs = evenly_spread(whole, CALIBRATION_IMAGES)
    images = (np.ascontiguousarray(read_pair(pair, data)[0].transpose(2, 0, 1)) for pair in pairs)
    return [at_resolution(torch.from_numpy(image)[None], resolution).to(device) for image in images]
