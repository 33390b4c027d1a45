"""Fingerprints of a data set: a short text that changes when the data set does."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from compress.data.labels import Labels
from compress.data.pixels import Pixels


def fingerprint(files: Sequence[Path], content: str, labels: Labels, pixels: Pixels) -> str:
    """The fingerprint of a data set. It depends on the files' contents, not on their times or on where they are.

    Args:
        files: All files of the data set.
        content: The digest of their contents.
        labels: How masks are read.
        pixels: How images are read.

    Returns:
        16 hexadecimal digits.
    """
    names = [file.name for file in files]
    return sha256(repr((names, content, _described(labels, pixels))).encode()).hexdigest()[:16]


def fingerprint_of_sizes(files: Sequence[Path], labels: Labels, pixels: Pixels) -> str:
    """The fingerprint as older versions made it, for run folders that hold such a one. It knows no contents.

    Args:
        files: All files of the data set.
        labels: How masks are read.
        pixels: How images are read.

    Returns:
        12 hexadecimal digits.
    """
    sizes = [(file.name, file.stat().st_size if file.exists() else None) for file in files]
    described = ", ".join(_described(labels, pixels))
    return sha256(f"({sizes!r}, {described})".encode()).hexdigest()[:12]


def _described(labels: Labels, pixels: Pixels) -> tuple[str, str]:
    """How files are read, spelled out field by field: fields that are added later leave fingerprints as they are."""
    names = f", names={pixels.names!r}" if pixels.names else ""
    return (
        f"Labels(names={labels.names!r}, colours={labels.colours!r}, values={labels.values!r}, void={labels.void!r}, "
        f"paint={labels.paint!r})",
        f"Pixels(dtype={pixels.dtype!r}, bands={pixels.bands!r}, ranges={pixels.ranges!r}{names})",
    )
