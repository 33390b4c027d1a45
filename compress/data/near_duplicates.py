"""Finds images that look alike, such as neighbouring frames of one video, by a perceptual hash.

The hash is pHash: the signs of the lowest frequencies of a small grey image, against their median (Zauner 2010). It
stays nearly the same when an image is enlarged, compressed again or made brighter. The library ImageHash has the same
hash, but needs PyWavelets and Pillow images for what are six lines here.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from compress.data.area import shrunk

SIDE = 32  # pixels of the small grey image
FREQUENCIES = 8  # a side; 64 bits
MIN_CONTRAST = 4.0  # standard deviation of the small image; flat images all look alike
MAX_DIFFERENT = 8  # bits of 64 in which images that look alike may differ; docs/data.md has figures


def perceptual_hash(image: np.ndarray) -> int | None:
    """The hash of an image.

    Args:
        image: H,W,bands bytes.

    Returns:
        64 bits; None for an image with hardly any contrast.
    """
    small = np.atleast_3d(shrunk(image, (SIDE, SIDE))).astype(np.float32).mean(axis=2)
    if small.std() < MIN_CONTRAST:
        return None
    lowest = cv2.dct(small)[:FREQUENCIES, :FREQUENCIES]
    bits = np.packbits(lowest > np.median(lowest))
    return int.from_bytes(bits.tobytes(), "big")


def look_alikes(hashes: Sequence[int | None], others: Sequence[int | None]) -> list[tuple[int, int]]:
    """Finds images that look like one of other images.

    Args:
        hashes: The hash of each image.
        others: The hash of each other image.

    Returns:
        The place of each such image, and the place of the other image that it is most like.
    """
    places = [place for place, value in enumerate(others) if value is not None]
    known = np.array([others[place] for place in places], np.uint64)
    found = []
    for place, value in enumerate(hashes):
        if value is None or not places:
            continue
        different = np.bitwise_count(known ^ np.uint64(value))
        nearest = int(different.argmin())
        if different[nearest] <= MAX_DIFFERENT:
            found.append((place, places[nearest]))
    return found
