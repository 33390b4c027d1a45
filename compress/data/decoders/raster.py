"""What an image file stores, before anything is made of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from search_spaces.errors import InputError

MAX_VALUES = 2**31  # values in one file, checked before memory is allocated for them


@dataclass(frozen=True)
class Raster:
    """The samples of one image file, and what the file says about them.

    Attributes:
        samples: H,W,channels as stored. They are indices where there is a palette. Rows are in the order of the file.
        bits: Bits of one sample. Fewer than 8 bits are kept in a byte each, not scaled.
        alpha: The last channel is opacity.
        palette: The colours n,3 (uint8) that the samples point to.
        nodata: H,W,channels, true where the file says that nothing was measured.
        white_is_zero: The largest sample is black.
        orientation: The EXIF or TIFF orientation, 1 (upright) to 8.
        pages: Pages of the file that became channels.
        is_bands: Channels are bands to choose from. Otherwise they are a picture, and 8 bits mean RGB.
        lossy: The name of a compression that changes values, or nothing.
    """

    samples: np.ndarray
    bits: int
    alpha: bool = False
    palette: np.ndarray | None = None
    nodata: np.ndarray | None = None
    white_is_zero: bool = False
    orientation: int = 1
    pages: int = 1
    is_bands: bool = False
    lossy: str = ""


def exif_orientation(block: bytes) -> int:
    """The orientation in an EXIF block.

    Args:
        block: The block as JPEG and PNG files hold it.

    Returns:
        1 to 8. It is 1 (upright) where the block does not say, or cannot be read.
    """
    exif = Image.Exif()
    try:
        exif.load(block)
        found = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises many kinds for a damaged block
        return 1
    return found if found in range(1, 9) else 1


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors rows and columns as an orientation says.

    Args:
        array: H,W or H,W,channels in the order of the file.
        orientation: 1 to 8, as EXIF and TIFF count them.

    Returns:
        A view of the array, the scene upright.
    """
    if orientation > 4:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array


def require_size(path: Path, *shape: int) -> None:
    """Refuses a file that claims to be huge.

    Args:
        path: The file, for the message.
        *shape: What the file says its sides and channels are.

    Raises:
        InputError: There are more than MAX_VALUES values.
    """
    if np.prod(shape, dtype=float) > MAX_VALUES:
        raise InputError(f"{path}: {'x'.join(map(str, shape))} values are too many; cut it into tiles")


def unreadable(path: Path, reason: object) -> InputError:
    """The error for a file that cannot be decoded.

    Args:
        path: The file.
        reason: Why, as the decoder says it.

    Returns:
        An error of one line.
    """
    return InputError(f"{path}: cannot be read as an image ({reason}); replace or remove it")
