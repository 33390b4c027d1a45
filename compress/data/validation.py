"""The validation split at the input size."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from compress.data.dataset import IGNORE, DataSet, Pair, map_pairs
from compress.data.resizing import at_resolution
from search_spaces.errors import InputError

VALIDATION_CACHE_BYTES = 2**31


@dataclass(frozen=True)
class Validation:
    """A split at the input size: bytes N,3,H,W and masks N,H,W."""

    images: Tensor
    masks: Tensor
    ignore: int = IGNORE

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, resolution: tuple[int, int], size: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Images in 0..1 at a network's resolution, with masks at the input size."""
        for at in range(0, len(self), size):
            yield at_resolution(self.images[at : at + size], resolution), self.masks[at : at + size].long()

    def pixels(self, resolution: tuple[int, int]) -> Iterator[np.ndarray]:
        """Each image as an int8 file reads it: h,w,3 bytes less 128."""
        for images, _ in self.batches(resolution):
            yield images[0].permute(1, 2, 0).mul(255).round().sub(128).to(torch.int8).contiguous().numpy()


def read_validation(data: DataSet, input_size: tuple[int, int]) -> Validation:
    """Raises InputError if the split at this size is beyond the cache's bound."""
    height, width = input_size
    needed = len(data.val) * height * width * 4
    if needed > VALIDATION_CACHE_BYTES:
        raise InputError(
            f"--input-size {height}x{width}: {len(data.val)} validation images need {needed >> 20} MiB; "
            "use a smaller input size or fewer validation images"
        )

    def resized(_: Pair, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        how = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
        small = cv2.resize(image, (width, height), interpolation=how).transpose(2, 0, 1)
        return small, cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    images, masks = zip(*map_pairs(data.val, data, resized, "validation images"), strict=True)
    return Validation(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks)))
