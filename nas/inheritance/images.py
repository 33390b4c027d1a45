"""The images on which donors and networks are observed."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from compress.data.spread import evenly_spread

MAX_SIDE = 256  # pixels of a window
MAX_PIXELS = 32 * 192 * 256  # of all windows: seconds of work on one core
BATCH = 16  # PyTorch's convolutions of fewer images are slow with one thread


def image_windows(images: Sequence[Tensor], resolution: tuple[int, int]) -> list[Tensor]:
    """Cuts the middle out of whole images, at the resolution of a network.

    Windows keep the work within bounds, and objects keep the size that the network sees.

    Args:
        images: N,bands,H,W images in 0..1, each of any size.
        resolution: The height h and width w in pixels at which the network sees whole images.

    Returns:
        Batches of at most 16 windows of at most 256 pixels a side. They take images evenly from the given ones until
        they have 1.6 million pixels.
    """
    height, width = (min(MAX_SIDE, side) for side in resolution)
    whole = [image[None] for batch in images for image in batch]
    chosen = evenly_spread(whole, max(1, MAX_PIXELS // (height * width)))
    windows = torch.cat([_window(image, resolution, (height, width)) for image in chosen])
    return list(torch.split(windows.contiguous(memory_format=torch.channels_last), BATCH))


def _window(image: Tensor, resolution: tuple[int, int], size: tuple[int, int]) -> Tensor:
    if image.shape[-2:] != resolution:
        image = F.interpolate(image, resolution, mode="bilinear", align_corners=False, antialias=True)
    top, left = ((whole - side) // 2 for whole, side in zip(resolution, size, strict=True))
    return image[..., top : top + size[0], left : left + size[1]]
