"""Losses as plain functions that `--loss` adds up by name, and what losses on labels and on teachers share."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

BOUNDARY_PIXELS = 3  # how near another class makes a pixel a boundary pixel
Terms = Mapping[str, tuple[Callable[..., Tensor], float]]  # by name: a loss and its usual weight


def boundary_pixels(masks: Tensor, ignore: int, pixels: int = BOUNDARY_PIXELS) -> Tensor:
    """Finds the pixels near another class.

    Args:
        masks: N,H,W classes.
        ignore: The value of void pixels, which are never boundary pixels and never count as another class.
        pixels: How many rows and columns away the other class may be.

    Returns:
        N,H,W booleans.
    """
    void = masks == ignore
    window = 2 * pixels + 1
    largest = F.max_pool2d(masks.masked_fill(void, -1).float(), window, 1, pixels)
    smallest = -F.max_pool2d(-masks.masked_fill(void, ignore + 1).float(), window, 1, pixels)
    return (largest > smallest) & ~void


def match(logits: Tensor, like: Tensor) -> Tensor:
    """Resizes logits to the height and width of another value, bilinear with half-pixel centres.

    Args:
        logits: N,C,h,w.
        like: Any value that ends with H,W.

    Returns:
        N,C,H,W.
    """
    size = like.shape[-2:]
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def weighted_sum(weights: Mapping[str, float], known: Terms, logits: Tensor, *more: Any) -> Tensor:
    """Adds up losses.

    Args:
        weights: The weight of each loss, by name.
        known: The losses by name.
        logits: N,classes,h,w.
        more: What the losses take beside the logits.

    Returns:
        The sum.
    """
    terms = (known[name][0](logits, *more) * weight for name, weight in weights.items())
    return sum(terms, logits.new_zeros(()))
