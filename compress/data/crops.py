"""Random training crops of a data set."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from compress.data.augmentation import augmentation, crop_areas
from compress.data.dataset import DataSet, Pair, map_pairs, read_pair

CROP_CACHE_BYTES = 2**30  # decoded pairs kept in memory; a larger data set is decoded again each time


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Item `i` is always the same random crop: 3,crop,crop image and crop,crop mask, both bytes, from (seed, i) alone,
    so a resumed run sees what it would have seen. `augment` is one of `compress.data.augmentation`."""

    def __init__(
        self, data: DataSet, input_size: tuple[int, int], crop: int, items: int, seed: int, augment: str = "photo"
    ) -> None:
        self.data, self.input_size, self.crop, self.items, self.seed = data, input_size, crop, items, seed
        self.augment, self.areas = augment, crop_areas(crop, input_size, augment)
        self.cached = map_pairs(data.train, data, _both, "training images") if _fits(data.train, data) else None

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
    return (image.nbytes + mask.nbytes) * len(pairs) <= CROP_CACHE_BYTES


@lru_cache(2)
def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the images in an epoch.

    Args:
        count: How many images there are.
        seed: The seed of the crops.
        epoch: The epoch, from 0.

    Returns:
        The indices of the images.
    """
    return np.random.default_rng((seed, epoch)).permutation(count)
