"""Which three bands of an image a picture shows (`--show-bands`)."""

import numpy as np

from compress.data.pixels import Pixels
from search_spaces.errors import InputError

Shown = tuple[int, int, int]  # the channels that a picture shows as red, green and blue


def shown_channels(pixels: Pixels, asked: str | None = None) -> Shown:
    """Chooses the channels that a picture shows.

    Args:
        pixels: How images become bytes.
        asked: The value of `--show-bands`: three bands between commas, or one for a grey picture. A band is a name of
            bands.txt, or its number in the files of the images. None where the user has not chosen.

    Returns:
        The channels, counted from 0. By default those that show red, green and blue. Where one of these is not there,
        the first three; of two channels the second one twice.

    Raises:
        InputError: There is no such band, or they are not three or one.
    """
    if asked is None:
        last = len(pixels.bands) - 1
        return pixels.visible or (0, min(1, last), min(2, last))
    words = [word.strip() for word in asked.split(",")]
    if len(words) not in (1, 3):
        raise InputError(f"--show-bands {asked}: give three bands between commas, such as {_example(pixels)}, or one")
    red, green, blue = (_channel(word, pixels, asked) for word in (words if len(words) == 3 else words * 3))
    return red, green, blue


def picture(image: np.ndarray, shown: Shown) -> np.ndarray:
    """The picture of an image.

    Args:
        image: H,W,channels bytes.
        shown: The channels to show.

    Returns:
        H,W,3 bytes.
    """
    return image if shown == tuple(range(image.shape[2])) else np.ascontiguousarray(image[..., shown])


def _channel(word: str, pixels: Pixels, asked: str) -> int:
    """The first channel of a band."""
    names = [name.lower() for name in pixels.names]
    if word.lower() in names:
        return names.index(word.lower())
    if word.isdecimal() and int(word) - 1 in pixels.bands:
        return pixels.bands.index(int(word) - 1)
    numbers = [str(band + 1) for band in pixels.bands]
    raise InputError(f"--show-bands {asked}: there is no band {word}; take from {', '.join([*pixels.names, *numbers])}")


def _example(pixels: Pixels) -> str:
    known = pixels.names or [str(band + 1) for band in pixels.bands]
    return ",".join(known[channel] for channel in shown_channels(pixels))
