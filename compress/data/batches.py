"""Tensors from a data set: random training crops, and the validation split at the input size."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from compress.data.augmentation import augmentation, crop_areas
from compress.data.dataset import IGNORE, DataSet, Pair, read_all, read_pair
from search_spaces.errors import InputError
from search_spaces.ops import out_size

CACHE_BYTES = 2**30  # decoded pairs kept in memory; a larger data set is decoded again each time
WORKERS = 8  # processes that make training crops, where there are as many cores


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Item `i` is always the same random crop: 3,crop,crop image and crop,crop mask, both bytes, from (seed, i) alone,
    so a resumed run sees what it would have seen. `augment` is one of `compress.data.augmentation`."""

    def __init__(
        self, data: DataSet, input_size: tuple[int, int], crop: int, items: int, seed: int, augment: str = "photo"
    ) -> None:
        self.data, self.input_size, self.crop, self.items, self.seed = data, input_size, crop, items, seed
        self.augment, self.areas = augment, crop_areas(crop, input_size, augment)
        self.cached = read_all(data.train, data, _both, "training images") if _fits(data.train, data) else None

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        epoch, place = divmod(i, len(self.data.train))
        chosen = int(shuffled(len(self.data.train), self.seed, epoch)[place])
        image, mask = self.cached[chosen] if self.cached else read_pair(self.data.train[chosen], self.data)
        # the width of an image pixel against its height, once the image fills the input size as in validation
        squeeze = (image.shape[1] / image.shape[0]) / (self.input_size[1] / self.input_size[0])
        augment = augmentation(self.crop, self.areas, float(f"{squeeze:.3g}"), self.augment)
        augment.set_random_seed(int(np.random.default_rng((self.seed, i)).integers(2**31)))
        out = augment(image=image, mask=mask)
        return torch.from_numpy(np.ascontiguousarray(out["image"].transpose(2, 0, 1))), torch.from_numpy(out["mask"])


def _both(_: Pair, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image, mask


def _fits(pairs: tuple[Pair, ...], data: DataSet) -> bool:
    image, mask = read_pair(pairs[0], data)
    return (image.nbytes + mask.nbytes) * len(pairs) <= CACHE_BYTES


@lru_cache(2)
def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def training_batches(
    crops: Crops, batch: int, start: int, workers: int | None = None, share: slice = slice(None)
) -> Iterator[tuple[Tensor, Tensor]]:
    """N,3,crop,crop images in 0..1 and N,crop,crop masks from step `start` on; workers decode while the device
    computes. Of each batch only a `share` of its items is made. No mean is subtracted, so int8 input is
    `byte - 128`."""
    workers = min(WORKERS, max(1, torch.get_num_threads() - 1)) if workers is None else workers
    batches = [list(range(at, at + batch)[share]) for at in range(start * batch, len(crops), batch)]
    prefetch = 4 if workers else None
    for images, masks in DataLoader(crops, batch_sampler=batches, num_workers=workers, prefetch_factor=prefetch):
        yield images.float().div_(255), masks.long()


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
    if needed > 2 * CACHE_BYTES:
        raise InputError(
            f"--input-size {height}x{width}: {len(data.val)} validation images need {needed >> 20} MiB; "
            "use a smaller input size or fewer validation images"
        )

    def resized(_: Pair, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        how = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
        small = cv2.resize(image, (width, height), interpolation=how).transpose(2, 0, 1)
        return small, cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    images, masks = zip(*read_all(data.val, data, resized, "validation images"), strict=True)
    return Validation(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks)))


def at_resolution(images: Tensor, resolution: tuple[int, int]) -> Tensor:
    """N,3,H,W bytes to N,3,h,w in 0..1, resized with antialiasing and rounded to whole bytes as an app would."""
    pixels = images.float()
    if images.shape[-2:] != resolution:
        pixels = F.interpolate(pixels, resolution, mode="bilinear", antialias=True).round_().clamp_(0, 255)
    return pixels.div_(255)


def at_scale(images: Tensor, resolution: tuple[int, int], input_size: tuple[int, int]) -> Tensor:
    """Training crops at the scale at which a network sees its images: its resolution against the input size."""
    if resolution == input_size:
        return images
    size = [
        max(32, out_size(side * small, full))
        for side, small, full in zip(images.shape[-2:], resolution, input_size, strict=True)
    ]
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
