"""What a pass over all files of a data set finds: sizes, pixels of each class, and the digest of the contents."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from compress.data.cache import whole_number
from compress.data.threads import map_in_threads

Size = tuple[int, int]  # height and width, in pixels


@dataclass(frozen=True)
class SplitStatistics:
    """What the pairs of a split hold.

    Attributes:
        sizes: Height and width of each image, in pixels, in the order of the pairs.
        counts: Pixels of each class over all masks.
        void: Pixels that are void, over all masks.
    """

    sizes: tuple[Size, ...]
    counts: tuple[int, ...]
    void: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name.
        """
        return {"sizes": [list(size) for size in self.sizes], "counts": list(self.counts), "void": self.void}

    @staticmethod
    def from_dict(value: dict[str, Any]) -> "SplitStatistics":
        """The statistics that `to_dict` wrote.

        Args:
            value: The fields by name.

        Returns:
            The statistics.

        Raises:
            KeyError: A field is missing.
            TypeError: A field has another form.
            ValueError: A field has another form, or a number is none of pixels.
        """
        sizes = tuple((whole_number(height, 1), whole_number(width, 1)) for height, width in value["sizes"])
        return SplitStatistics(sizes, tuple(map(whole_number, value["counts"])), whole_number(value["void"]))


def mask_counts(mask: np.ndarray) -> np.ndarray:
    """Counts the values of a mask.

    Args:
        mask: H,W bytes.

    Returns:
        Pixels of each value from 0 to 255.
    """
    histogram = cv2.calcHist([mask], [0], None, [256], [0, 256])  # faster than numpy's bincount; exact below 2**24
    if mask.size >= 1 << 24:
        return np.bincount(mask.ravel(), minlength=256)
    return histogram.ravel().astype(np.int64)


def split_statistics(found: Iterable[tuple[Size, np.ndarray]], classes: int, ignore: int) -> SplitStatistics:
    """Sums up the pairs of a split.

    Args:
        found: The size of each image and the `mask_counts` of its mask.
        classes: The number of classes.
        ignore: The value of void pixels.

    Returns:
        The statistics of the split.
    """
    pairs = list(found)
    total = np.array([counts for _, counts in pairs], np.int64).reshape(-1, 256).sum(0)
    return SplitStatistics(tuple(size for size, _ in pairs), tuple(total[:classes].tolist()), int(total[ignore]))


def file_digest(path: Path) -> str:
    """The digest of a file's content.

    Args:
        path: The file.

    Returns:
        Hexadecimal digits; nothing for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def content_digest(digests: Iterable[str]) -> str:
    """The digest of many files.

    Args:
        digests: The `file_digest` of each file, in order.

    Returns:
        32 hexadecimal digits.
    """
    return sha256(" ".join(digests).encode()).hexdigest()[:32]


def parse_digest(value: str) -> str:
    """Checks a digest that was kept.

    Args:
        value: A plain JSON value.

    Returns:
        The value.

    Raises:
        TypeError: It is no text.
        ValueError: `content_digest` gives no such text.
    """
    if not re.fullmatch(r"[0-9a-f]{32}", value):
        raise ValueError(f"{value!r} is no digest")
    return value


def read_digest(files: Sequence[Path]) -> str:
    """Reads many files and computes their digest.

    Args:
        files: The files.

    Returns:
        Their `content_digest`.
    """
    return content_digest(map_in_threads(file_digest, files, "fingerprint"))
