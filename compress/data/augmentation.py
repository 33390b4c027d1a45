"""How training crops are varied, by the name that `--augment` takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import albumentations as A

from compress.data.labels import IGNORE


@dataclass(frozen=True)
class Augment:
    """`scales` of a crop against the input size (its width against its height varies by a quarter in all of them), and
    what comes after it."""

    scales: tuple[float, float]
    transforms: Callable[[], list[A.BasicTransform]]


AUGMENTS: dict[str, Augment] = {
    # up stays up; mild light
    "photo": Augment((0.5, 1.5), lambda: [A.HorizontalFlip(p=0.5), A.RandomBrightnessContrast(0.15, 0.15, p=0.5)]),
    # cameras on the move: near and far, changing light and white balance
    "road": Augment((0.5, 2.0), lambda: [A.HorizontalFlip(p=0.5), A.ColorJitter(hue=(-0.03, 0.03), p=0.8)]),
    # seen from above: no side is up; each band has a gain of its own, whatever it shows
    "aerial": Augment(
        (0.5, 1.5),
        lambda: [
            A.SquareSymmetry(p=1.0),
            A.MultiplicativeNoise((0.85, 1.15), per_channel=True, p=0.5),
            A.RandomBrightnessContrast(0.2, 0.2, p=0.5),
        ],
    ),
    # bodies have a left and a right, and scanners one scale; contrast is the scanner's
    "medical": Augment(
        (0.75, 1.35),
        lambda: [
            A.Rotate(15, fill_mask=IGNORE, p=0.5),
            A.RandomBrightnessContrast(0.2, 0.2, p=0.5),
            A.RandomGamma((70, 140), p=0.5),
        ],
    ),
}


def crop_areas(crop: int, input_size: tuple[int, int], augment: str) -> tuple[float, float]:
    """Shares of an image that a crop may cover: at scale s it is crop / (s * side) high and wide."""
    small, large = AUGMENTS[augment].scales
    low, high = (min(1.0, crop * crop / (s * s * input_size[0] * input_size[1])) for s in (large, small))
    return low, high


@lru_cache(1000)
def augmentation(crop: int, areas: tuple[float, float], squeeze: float, augment: str) -> A.Compose:
    """For images whose pixels become `squeeze` times as high as wide at the input size, where crops are near square."""
    cut = A.RandomResizedCrop((crop, crop), areas, (0.8 * squeeze, 1.25 * squeeze), mask_interpolation=0)
    return A.Compose([cut, *AUGMENTS[augment].transforms()])
