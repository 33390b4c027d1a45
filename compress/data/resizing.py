"""Image tensors at the resolution at which a network sees them."""

from torch import Tensor
from torch.nn import functional as F

from search_spaces.ops import out_size

MIN_CROP = 32  # pixels a side of a crop that is made smaller


def at_resolution(images: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Images at a network's resolution, resized with antialiasing and rounded to whole bytes as an app would do it.

    Args:
        images: N,bands,H,W bytes.
        resolution: The height h and width w that the network takes, in pixels.

    Returns:
        N,bands,h,w floats in 0..1.
    """
    pixels = images.float()
    if images.shape[-2:] != resolution:
        pixels = F.interpolate(pixels, resolution, mode="bilinear", antialias=True).round_().clamp_(0, 255)
    return pixels.div_(255)


def at_scale(images: Tensor, resolution: tuple[int, int], input_size: tuple[int, int]) -> Tensor:
    """Training crops at the scale at which a network sees its images: its resolution against the input size.

    Args:
        images: N,bands,crop,crop floats.
        resolution: The height and width that the network takes, in pixels.
        input_size: The height and width at which masks are compared, in pixels.

    Returns:
        N,bands,h,w floats; the images themselves when both sizes are equal.
    """
    if resolution == input_size:
        return images
    size = [
        max(MIN_CROP, out_size(side * small, full))
        for side, small, full in zip(images.shape[-2:], resolution, input_size, strict=True)
    ]
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
