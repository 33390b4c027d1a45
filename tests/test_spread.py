"""Some items out of many, evenly spread."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_data import save

from compress.data.calibration import CALIBRATION_IMAGES, calibration_images
from compress.data.dataset import open_data
from compress.data.spread import evenly_spread


@given(st.integers(0, 500), st.integers(1, 60))
def test_distances_differ_by_one_at_most(length: int, count: int) -> None:
    chosen = evenly_spread(range(length), count)
    assert len(chosen) == min(length, count)
    ends = [*chosen, length]
    distances = [after - before for before, after in pairwise(ends)]
    assert ends[0] == 0
    assert not distances or max(distances) - min(distances) <= 1


def test_calibration_sees_the_end_of_a_split_too(tmp_path: Path) -> None:
    """The images of one place are often neighbours in a split: its first half may show less than the whole."""
    count = 2 * CALIBRATION_IMAGES - 1
    for split in ("train", "val"):
        for i in range(count if split == "train" else 1):
            # the brightness tells which image it is; three pixels differ, or all images would be of one colour
            image = np.full((64, 64, 3), 2 * i, np.uint8)
            image[0, :3] = 255
            save(image, tmp_path / split / "images" / f"{i:03}.png")
            save((np.arange(64 * 64).reshape(64, 64) % 2).astype(np.uint8), tmp_path / split / "masks" / f"{i:03}.png")
    data = open_data(f"folder:{tmp_path}")
    images = calibration_images(data, (64, 64), torch.device("cpu"))
    seen = [round(float(image[0, 0, -1, -1]) * 255 / 2) for image in images]
    assert len(seen) == CALIBRATION_IMAGES
    assert seen == list(evenly_spread(range(count), CALIBRATION_IMAGES))
