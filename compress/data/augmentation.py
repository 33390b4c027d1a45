"""How training crops are varied, by the name that `--augment` takes.

albumentations is imported when the first crop is made, so that commands can list the names quickly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from compress.data.labels import IGNORE

if TYPE_CHECKING:
    import albumentations

Colours = tuple[int | None, ...]  # 0 red, 1 green, 2 blue, None for a band that is no colour
RGB: Colours = (0, 1, 2)


@dataclass(frozen=True)
class Augment:
    """One way to vary crops.

    Attributes:
        scales: The smallest and largest scale of a crop against the input size. In all of them the width of a crop
            varies against its height by a quarter.
        transforms: Makes the transforms that follow the crop. Its arguments are the module albumentations and the
            colour of each channel (`compress.data.pixels.Pixels.colours`).
    """

    scales: tuple[float, float]
    transforms: Callable[[Any, Colours], list[Any]]


def jitter(A: Any, colours: Colours) -> Any:
    """Light and white balance that change. Hue and saturation are of red, green and blue, and other bands have none.

    Args:
        A: The module albumentations.
        colours: The colour of each channel.

    Returns:
        A transform that changes the channels that are red, green and blue. Where one of these is not there, it changes
        brightness and contrast of all channels.
    """
    if colours == RGB:
        return A.ColorJitter(hue=(-0.03, 0.03), p=0.8)
    if not set(RGB) <= set(colours):
        return A.RandomBrightnessContrast(0.2, 0.2, p=0.8)
    visible = [colours.index(colour) for colour in RGB]
    return A.SelectiveChannelTransform([A.ColorJitter(hue=(-0.03, 0.03), p=1.0)], channels=visible, p=0.8)


AUGMENTS: dict[str, Augment] = {
    # up stays up; mild light
    "photo": Augment((0.5, 1.5), lambda A, _: [A.HorizontalFlip(p=0.5), A.RandomBrightnessContrast(0.15, 0.15, p=0.5)]),
    # cameras on the move: near and far, changing light and white balance
    "road": Augment((0.5, 2.0), lambda A, colours: [A.HorizontalFlip(p=0.5), jitter(A, colours)]),
    # seen from above: no side is up; each band has a gain of its own, whatever it shows
    "aerial": Augment(
        (0.5, 1.5),
        lambda A, _: [
            A.SquareSymmetry(p=1.0),
            A.MultiplicativeNoise((0.85, 1.15), per_channel=True, p=0.5),
            A.RandomBrightnessContrast(0.2, 0.2, p=0.5),
        ],
    ),
    # bodies have a left and a right, and scanners one scale; contrast is the scanner's
    "medical": Augment(
        (0.75, 1.35),
        lambda A, _: [
            A.Rotate(15, fill_mask=IGNORE, p=0.5),
            A.RandomBrightnessContrast(0.2, 0.2, p=0.5),
            A.RandomGamma((70, 140), p=0.5),
        ],
    ),
}


def crop_areas(crop: int, input_size: tuple[int, int], augment: str) -> tuple[float, float]:
    """The shares of an image's area that a crop may cover: at scale s a crop is crop / (s * side) high and wide.

    Args:
        crop: The side of a crop, in pixels.
        input_size: Height and width of the network's input, in pixels.
        augment: A name of AUGMENTS.

    Returns:
        The smallest and the largest share, at most 1.
    """
    small, large = AUGMENTS[augment].scales
    low, high = (min(1.0, crop * crop / (s * s * input_size[0] * input_size[1])) for s in (large, small))
    return low, high


@lru_cache(1000)
def augmentation(
    crop: int, areas: tuple[float, float], squeeze: float, augment: str, colours: Colours = RGB
) -> "albumentations.Compose":
    """The transform that makes a training crop of an image and its mask.

    Args:
        crop: The side of a crop, in pixels.
        areas: The shares of an image's area that a crop may cover.
        squeeze: How high a pixel of the image becomes against its width, once the image fills the input size. Crops
            are near square there.
        augment: A name of AUGMENTS.
        colours: The colour of each channel.

    Returns:
        The transform, to be called with `image` and `mask`.
    """
    import albumentations

    cut = albumentations.RandomResizedCrop((crop, crop), areas, (0.8 * squeeze, 1.25 * squeeze), mask_interpolation=0)
    return albumentations.Compose([cut, *AUGMENTS[augment].transforms(albumentations, colours)])


@lru_cache(100)
def augmentation_of_window(crop: int, augment: str, colours: Colours = RGB) -> "albumentations.Compose":
    """The transform that makes a training crop of a part of an image that was chosen before.

    Args:
        crop: The side of a crop, in pixels.
        augment: A name of AUGMENTS.
        colours: The colour of each channel.

    Returns:
        The transform, to be called with `image` and `mask`.
    """
    import albumentations

    resize = albumentations.Resize(crop, crop, mask_interpolation=0)
    return albumentations.Compose([resize, *AUGMENTS[augment].transforms(albumentations, colours)])
