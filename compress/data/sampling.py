"""Which places of the training images crops are cut from, by the name that `--sampling` takes.

`uniform` takes every image once in an epoch, and any place of it. `rare` does so for every other crop. The crops
between are placed on classes. The chance of a class is inverse to the square root of its share of the training pixels,
and MAX_RATIO times that of any other class at most. Then each of its pixels has the same chance, whatever image it is
in. The crop lies anywhere around that pixel. Images are drawn by class so in Shen et al. (2016);
nnU-Net (Isensee et al. 2021) places a third of its crops on objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
MAX_RATIO = 10.0  # of the chances of two classes
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
        pixels: How many pixels of the class each of these images has.
    """

    images: dict[int, tuple[int, ...]]
    pixels: dict[int, tuple[int, ...]]

    @cached_property
    def chances(self) -> np.ndarray:
        """The chance of each class of `images`, in that order."""
        weights = 1 / np.sqrt([sum(counts) for counts in self.pixels.values()])
        weights = np.minimum(weights, MAX_RATIO * weights.min())
        return np.asarray(weights / weights.sum())

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
        value = list(self.images)[int(rng.choice(len(self.images), p=self.chances))]
        before = np.cumsum(self.pixels[value])
        place = int(np.searchsorted(before, rng.integers(before[-1]), side="right"))
        return Placed(self.images[value][place], value, rng)


def class_places(data: DataSet) -> ClassPlaces:
    """Finds which training images show each class. What is found is kept under runs/data.

    Args:
        data: The data set.

    Returns:
        The images of each class, and its pixels in them.

    Raises:
        InputError: A mask cannot be read.
    """
    masks = [pair.mask for pair in data.train]

    def counts_of(pair: Pair) -> np.ndarray:
        return mask_counts(decode_mask(pair.mask, data.labels, pair.window))

    def counted() -> list[list[int]]:
        counts = map_in_threads(counts_of, data.train, "classes of images")
        return [one[: len(data.classes)].tolist() for one in counts]

    def parse(kept: list[list[int]]) -> ClassPlaces:
        if len(kept) != len(masks):
            raise ValueError(f"{len(kept)} entries for {len(masks)} masks")
        if any(len(one) != len(data.classes) for one in kept):
            raise ValueError(f"counts of other than {len(data.classes)} classes")
        return _by_class([[whole_number(count) for count in one] for one in kept])

    return cached_result("pixels-of-images", data.about(data.labels), masks, counted, parse)


def _by_class(counts: Sequence[Sequence[int]]) -> ClassPlaces:
    """The images of each class, from the pixels that each class has in each image."""
    by_class = {value: of_class for value, of_class in enumerate(zip(*counts, strict=True)) if any(of_class)}
    images = {value: tuple(i for i, n in enumerate(of_class) if n) for value, of_class in by_class.items()}
    return ClassPlaces(images, {value: tuple(n for n in of_class if n) for value, of_class in by_class.items()})
