"""Which places of the training images crops are cut from, by the name that `--sampling` takes.

`uniform` takes every image once in an epoch, and any place of it. `rare` does so for every other crop. The crops
between are placed on classes: each class of the training masks has the same chance, then each image that shows it, then
each of its pixels there. The crop lies anywhere around that pixel. Images are drawn by class so in Shen et al. (2016);
nnU-Net (Isensee et al. 2021) places a third of its crops on objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np

from compress.data.cache import cached_result, whole_number
from compress.data.dataset import DataSet, Pair
from compress.data.decoding import decode_mask
from compress.data.statistics import mask_counts
from compress.data.threads import map_in_threads
from compress.data.windows import Window

UNIFORM, RARE = "uniform", "rare"
SAMPLINGS = (UNIFORM, RARE)
PLACED_EVERY = 2  # every second crop of `rare` is placed on a class
STREAM = 1  # of random numbers beside those of the crop's augmentation


@dataclass(frozen=True)
class Placed:
    """A crop that is placed on a class.

    Attributes:
        image: The index of the training image.
        value: The class, of which the crop has at least one pixel.
        rng: Draws the place of the crop.
    """

    image: int
    value: int
    rng: np.random.Generator

    def window(self, mask: np.ndarray, areas: tuple[float, float], squeeze: float) -> Window:
        """The place of the crop.

        Args:
            mask: The mask of the image, H,W bytes.
            areas: The smallest and the largest share of the image's area that a crop may cover.
            squeeze: How high a pixel of the image becomes against its width, once the image fills the input size.

        Returns:
            A window that holds a pixel of the class. Size and shape are drawn as those of uniform crops.
        """
        pixels = np.flatnonzero(mask == self.value)
        y, x = divmod(int(pixels[self.rng.integers(len(pixels))]), mask.shape[1])
        area = mask.size * self.rng.uniform(*areas)
        shape = exp(self.rng.uniform(log(0.8 * squeeze), log(1.25 * squeeze)))
        width, height = min(mask.shape[1], round(sqrt(area * shape))), min(mask.shape[0], round(sqrt(area / shape)))
        top, left = (
            int(self.rng.integers(max(0, at - side + 1), min(at, whole - side) + 1))
            for at, side, whole in ((y, height, mask.shape[0]), (x, width, mask.shape[1]))
        )
        return Window(top, left, height, width)


@dataclass(frozen=True)
class ClassPlaces:
    """Which training images show each class.

    Attributes:
        images: The indices of the images that show a class, for each class that any image shows.
    """

    images: dict[int, tuple[int, ...]]

    def placed(self, seed: int, item: int) -> Placed | None:
        """What a crop is placed on.

        Args:
            seed: The seed of the crops.
            item: The index of the crop.

        Returns:
            A class and an image; None for a crop that is uniform.
        """
        if item % PLACED_EVERY == 0 or not self.images:
            return None
        rng = np.random.default_rng((seed, item, STREAM))
        value = list(self.images)[int(rng.integers(len(self.images)))]
        images = self.images[value]
        return Placed(images[int(rng.integers(len(images)))], value, rng)


def class_places(data: DataSet) -> ClassPlaces:
    """Finds which training images show each class. What is found is kept under runs/data.

    Args:
        data: The data set.

    Returns:
        The images of each class.

    Raises:
        InputError: A mask cannot be read.
    """
    masks = [pair.mask for pair in data.train]

    def counts_of(pair: Pair) -> np.ndarray:
        return mask_counts(decode_mask(pair.mask, data.labels, pair.window))

    def shown() -> list[list[int]]:
        counts = map_in_threads(counts_of, data.train, "classes of images")
        return [np.flatnonzero(one[: len(data.classes)]).tolist() for one in counts]

    def parse(kept: list[list[int]]) -> ClassPlaces:
        if len(kept) != len(masks):
            raise ValueError(f"{len(kept)} entries for {len(masks)} masks")
        return _by_class([[whole_number(value) for value in one] for one in kept])

    return cached_result("classes-of-images", data.about(data.labels), masks, shown, parse)


def _by_class(shown: Sequence[Sequence[int]]) -> ClassPlaces:
    """The images of each class, from the classes of each image."""
    values = sorted({value for one in shown for value in one})
    return ClassPlaces({value: tuple(i for i, one in enumerate(shown) if value in one) for value in values})
