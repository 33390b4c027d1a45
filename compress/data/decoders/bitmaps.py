"""BMP, GIF and WebP files, as Pillow reads them."""

from io import BytesIO
from pathlib import Path
from struct import unpack_from

import numpy as np
from PIL import Image

from compress.data.decoders.raster import Raster, exif_orientation, require_size, unreadable
from search_spaces.errors import InputError

ALPHA_MODES = ("LA", "RGBA")
MODES = ("1", "L", "P", "RGB", *ALPHA_MODES)  # of Pillow
FORMATS = ("BMP", "GIF", "WEBP")
BMP_BITS_AT = 28  # place of the bits of a pixel in a BMP file


def is_bitmap(head: bytes) -> bool:
    """Whether a file is of this module.

    Args:
        head: At least the first 12 bytes of the file.

    Returns:
        Whether it begins as BMP, GIF and WebP files do.
    """
    return head.startswith((b"BM", b"GIF87a", b"GIF89a")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def decode(content: bytes, path: Path) -> Raster:
    """Reads a BMP, GIF or WebP file.

    Args:
        content: The bytes of the file.
        path: The file, for messages.

    Returns:
        The samples as stored; palette indices with their palette.

    Raises:
        InputError: The file is damaged, too large, an animation, or of a kind that decoders read differently.
    """
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            require_size(path, image.height, image.width, len(image.getbands()))
            frames = getattr(image, "n_frames", 1)
            _refuse_parts(content, path, frames, image.size)
            image.load()
            if image.mode not in MODES:
                raise InputError(f"{path}: mode {image.mode} is not read; save it as RGB or with a palette")
            samples = np.asarray(image).astype(np.uint8, copy=False)
            palette = image.getpalette("RGB") if image.mode == "P" else None
            exif = image.info.get("exif", b"")
    except InputError:
        raise
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise unreadable(path, error) from error
    return Raster(
        samples.reshape(*samples.shape[:2], -1),
        bits=1 if image.mode == "1" else 8,
        alpha=image.mode in ALPHA_MODES,
        palette=None if palette is None else np.array(palette, np.uint8).reshape(-1, 3),
        orientation=exif_orientation(exif),
        lossy="lossy WebP" if image.format == "WEBP" and b"VP8 " in _webp_chunks(content) else "",
    )


def _refuse_parts(content: bytes, path: Path, frames: int, size: tuple[int, int]) -> None:
    """Raises InputError for animations, for a GIF picture smaller than its canvas, and for BMP of 16 bits a pixel."""
    if frames > 1:
        raise InputError(f"{path}: {frames} frames of an animation; save the one that is meant")
    if content.startswith(b"BM") and unpack_from("<H", content, BMP_BITS_AT)[0] == 16:
        raise InputError(f"{path}: BMP of 16 bits a pixel has no exact bytes; save it as PNG")
    if content.startswith(b"GIF") and _gif_picture(content) != (0, 0, *size):
        raise InputError(f"{path}: the picture does not fill its canvas; save it as PNG")


def _gif_picture(content: bytes) -> tuple[int, int, int, int]:
    """Left, top, width and height of the first picture. Raises ValueError where there is none."""
    flags = content[10]
    at = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)  # after the global palette
    while content[at : at + 1] == b"!":  # an extension: a label, then blocks that begin with their size
        at += 2
        while content[at]:
            at += content[at] + 1
        at += 1
    if content[at : at + 1] != b"," or at + 9 > len(content):
        raise ValueError("no picture is in it")
    left, top, width, height = unpack_from("<4H", content, at + 1)
    return left, top, width, height


def _webp_chunks(content: bytes) -> set[bytes]:
    """The kinds of chunks in the file; `VP8 ` holds a lossy picture, `VP8L` a lossless one."""
    kinds, at = set(), 12
    while at + 8 <= len(content):
        kinds.add(content[at : at + 4])
        size = unpack_from("<I", content, at + 4)[0]
        at += 8 + size + size % 2
    return kinds
