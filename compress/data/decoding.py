"""Reads the two files of a pair as a network sees them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.data.formats import read_bands, read_stored_image, read_stored_mask
from compress.data.labels import Labels
from compress.data.pairs import Pair
from compress.data.pixels import Pixels
from compress.data.windows import Window
from search_spaces.errors import DataError, InputError

MAX_UNSWAPPED = 4  # orientations above it exchange width and height


@dataclass(frozen=True)
class Decoded:
    """The content of a pair.

    Attributes:
        stored: The image as the file has it: H,W,bands in the file's own type, masked where it marks nodata.
        image: The image as a network sees it: H,W,bands bytes.
        mask: The class of each pixel: H,W bytes, IGNORE for void.
        image_alone_turned: The image's orientation tag turns or mirrors it without changing its size, and the mask has
            no such tag. So the sizes do not show whether the mask lies on the image as shown or as stored.
    """

    stored: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    image_alone_turned: bool = False


def decode(pair: Pair, labels: Labels, pixels: Pixels) -> Decoded:
    """Reads and checks a pair.

    Args:
        pair: The files.
        labels: How the mask becomes class indices.
        pixels: How the image becomes bytes.

    Returns:
        The content.

    Raises:
        InputError: A file cannot be decoded, the sizes differ, or a value is no class.
        DataError: Both files are wrong.
    """
    faults = []
    try:
        stored_image = read_stored_image(pair.image, pair.window)
        image = pixels.to_bytes(stored_image.bands, pair.image)
    except InputError as error:
        faults.append(str(error))
    try:
        stored_mask = read_stored_mask(pair.mask, pair.window)
        mask = labels.decode(stored_mask, pair.mask)
    except InputError as error:
        faults.append(str(error))
    if faults:
        raise DataError(faults) if len(faults) > 1 else InputError(faults[0])
    if mask.shape != image.shape[:2]:
        sizes = f"{mask.shape[1]}x{mask.shape[0]} but {pair.image} is {image.shape[1]}x{image.shape[0]}"
        hint = ", one of them may be turned" if mask.shape == image.shape[1::-1] else ""
        raise InputError(f"{pair.mask}: the mask is {sizes}; make them the same size{hint}")
    keeps_size = stored_image.orientation <= MAX_UNSWAPPED or mask.shape[0] == mask.shape[1]
    turned = stored_image.orientation > 1 and stored_mask.orientation == 1 and keeps_size
    return Decoded(stored_image.bands, image, mask, turned)


def decode_image(path: Path, pixels: Pixels, window: Window | None = None) -> np.ndarray:
    """Reads an image.

    Args:
        path: The file.
        pixels: How it becomes bytes.
        window: The part to read; None for the whole image.

    Returns:
        H,W,bands bytes.

    Raises:
        InputError: The file cannot be decoded, or its values are not those of the others.
    """
    return pixels.to_bytes(read_bands(path, window), path)


def decode_mask(path: Path, labels: Labels, window: Window | None = None) -> np.ndarray:
    """Reads a mask.

    Args:
        path: The file.
        labels: How it becomes class indices.
        window: The part to read; None for the whole mask.

    Returns:
        The class of each pixel: H,W bytes, IGNORE for void.

    Raises:
        InputError: The file cannot be decoded, or a value is no class.
    """
    return labels.decode(read_stored_mask(path, window), path)
