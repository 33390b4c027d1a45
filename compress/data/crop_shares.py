"""How often training crops show each class, as the check tells it."""

import numpy as np

from compress.data.crops import Crops
from compress.data.dataset import DataSet
from compress.data.sampling import SAMPLINGS
from compress.data.statistics import Size, mask_counts
from compress.data.summary import MAX_CLASSES

CROPS = 200  # that are drawn


def describe_crops(data: DataSet, input_size: Size, crop: int, seed: int) -> str:
    """Describes the training crops.

    Args:
        data: The data set.
        input_size: Height and width of the network's input, in pixels.
        crop: The side of a crop, in pixels.
        seed: Draws the crops.

    Returns:
        Lines of text: for each way of sampling, the share of the crops' labelled pixels that each class has, and the
        share of crops that show it.

    Raises:
        DataError: Files cannot be read.
        InputError: A file cannot be read.
    """
    shares = [_shares(data, input_size, crop, seed, sampling) for sampling in SAMPLINGS]
    listed = sorted(range(len(data.classes)), key=lambda i: -shares[0][0][i])[:MAX_CLASSES]
    lines = [
        f"{f'crops of {crop}x{crop}':24}" + "".join(f"{f'--sampling {name}':>24}" for name in SAMPLINGS),
        f"{f'  of {CROPS} drawn':24}" + f"{'pixels':>14}{'crops':>10}" * len(SAMPLINGS),
    ]
    for i in sorted(listed):
        cells = "".join(f"{100 * pixels[i]:>12.2f} %{100 * crops[i]:>8.0f} %" for pixels, crops in shares)
        lines.append(f"    {data.classes[i][:19]:20}{cells}")
    return "\n".join(lines)


def _shares(data: DataSet, input_size: Size, crop: int, seed: int, sampling: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each class the share of labelled pixels in crops, and the share of crops that show it."""
    crops = Crops(data, input_size, crop, CROPS, seed, sampling=sampling)
    counts = np.stack([mask_counts(crops[i][1].numpy())[: len(data.classes)] for i in range(CROPS)])
    return counts.sum(0) / max(1, counts.sum()), (counts > 0).mean(0)
