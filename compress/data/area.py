"""Images made smaller, each pixel the mean of the area that it stands for."""

import cv2
import numpy as np

MAX_CHANNELS = 4  # that OpenCV shrinks by area at once


def shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Makes an image smaller.

    Args:
        image: H,W,channels bytes.
        size: Width w and height h, in pixels.

    Returns:
        h,w,channels bytes.
    """
    if image.shape[2] <= MAX_CHANNELS:
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    starts = range(0, image.shape[2], MAX_CHANNELS)
    parts = [np.ascontiguousarray(image[..., start : start + MAX_CHANNELS]) for start in starts]
    small = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in parts]
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in small], axis=2)
