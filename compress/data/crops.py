"""Random training crops of a data set."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from compress.data.augmentation import augmentation, augmentation_of_window, crop_areas
from compress.data.dataset import DataSet, Pair, map_pairs, read_pair
from compress.data.memory import CROP_CACHE_BYTES, training_bytes
from compress.data.sampling import RARE, UNIFORM, class_places
from compress.data.scenes import shifted


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """The random training crops of a data set.

    Item `i` depends on the seed and on `i` alone, so a resumed run sees the crops that it would have seen. All pairs
    are kept in memory when they take CROP_CACHE_BYTES at most, and are decoded again for each crop when they take more.
    Of scenes only a tile around the crop is read.
    """

    def __init__(
        self,
        data: DataSet,
        input_size: tuple[int, int],
        crop: int,
        items: int,
        seed: int,
        augment: str = "photo",
        sampling: str = UNIFORM,
    ) -> None:
        """Opens the crops.

        Args:
            data: The data set; its training split is used.
            input_size: Height and width of the network's input, in pixels.
            crop: The side of a crop, in pixels.
            items: The number of crops.
            seed: The seed.
            augment: How crops are varied: a name of `compress.data.augmentation.AUGMENTS`.
            sampling: Which places crops are cut from: a name of `compress.data.sampling.SAMPLINGS`.

        Raises:
            DataError: Files cannot be read.
            InputError: A mask cannot be read.
        """
        self.data, self.input_size, self.crop, self.items, self.seed = data, input_size, crop, items, seed
        self.augment, self.areas = augment, crop_areas(crop, input_size, augment)
        fits = not data.has_scenes and training_bytes(data) <= CROP_CACHE_BYTES
        self.cached = map_pairs(data.train, data, _both, "training images") if fits else None
        self.places = class_places(data) if sampling == RARE else None

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Makes a crop.

        Args:
            i: Its index.

        Returns:
            Image bands,crop,crop and mask crop,crop, both bytes.

        Raises:
            InputError: A file cannot be read.
        """
        placed = self.places.placed(self.seed, i) if self.places else None
        chosen = placed.image if placed else self.image_of(i)
        if self.cached:
            image, mask = self.cached[chosen]
        else:
            pair = self.data.train[chosen]
            image, mask = read_pair(pair if placed else shifted(pair, self.seed, i), self.data)
        # the width of an image pixel against its height, once the image fills the input size as in validation
        squeeze = (image.shape[1] / image.shape[0]) / (self.input_size[1] / self.input_size[0])
        if placed:
            window = placed.window(mask, self.areas, squeeze)
            image, mask = window.of(image), window.of(mask)
            augment = augmentation_of_window(self.crop, self.augment, self.data.pixels.colours)
        else:
            shape = float(f"{squeeze:.3g}")
            augment = augmentation(self.crop, self.areas, shape, self.augment, self.data.pixels.colours)
        augment.set_random_seed(int(np.random.default_rng((self.seed, i)).integers(2**31)))
        out = augment(image=image, mask=mask)
        return torch.from_numpy(np.ascontiguousarray(out["image"].transpose(2, 0, 1))), torch.from_numpy(out["mask"])

    def image_of(self, i: int) -> int:
        """The image from which a crop is cut that is not placed on a class.

        Args:
            i: The index of the crop.

        Returns:
            The index of the image in the training split; each stands once in an epoch.
        """
        epoch, place = divmod(i, len(self.data.train))
        return int(shuffled(len(self.data.train), self.seed, epoch)[place])


class CropsOfImages(Crops):
    """Crops for trainings that draw images instead of going through them: one crop of each image for each step.

    With n images, item `step * n + image` is a crop of that image.
    """

    def __init__(
        self, data: DataSet, input_size: tuple[int, int], crop: int, steps: int, seed: int, augment: str = "photo"
    ) -> None:
        """Opens the crops.

        Args:
            data: The data set; its training split is used.
            input_size: Height and width of the network's input, in pixels.
            crop: The side of a crop, in pixels.
            steps: The steps of the training.
            seed: The seed.
            augment: How crops are varied: a name of `compress.data.augmentation.AUGMENTS`.

        Raises:
            DataError: Files cannot be read.
        """
        super().__init__(data, input_size, crop, steps * len(data.train), seed, augment)

    def image_of(self, i: int) -> int:
        """The image from which a crop is cut.

        Args:
            i: The index of the crop.

        Returns:
            The index of the image in the training split.
        """
        return i % len(self.data.train)


def _both(_: Pair, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image, mask


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
