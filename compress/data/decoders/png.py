"""PNG files: every bit depth, colour type and interlacing.

Only the chunks that hold pixels are given to libpng. So a long text or colour profile costs nothing, and transparency
and gamma chunks do not change the samples.
"""

import logging
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from struct import error as StructError

import imagecodecs
import numpy as np

from compress.data.decoders.raster import Raster, exif_orientation, require_size, unreadable
from search_spaces.errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = Struct(">IIBBBBB")  # width, height, bits, colour type, compression, filter, interlace
UINT32 = Struct(">I")
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey and alpha, RGBA
PALETTE_TYPE = 3
ALPHA_TYPES = (4, 6)

logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)  # the InputError says what is wrong with a file


@dataclass
class _Chunks:
    """What the decoder needs of a file; `pixels` are whole IDAT chunks."""

    header: bytes = b""
    palette: bytes = b""
    exif: bytes = b""
    frames: int = 1
    pixels: list[memoryview] = field(default_factory=list)


def decode(content: bytes, path: Path) -> Raster:
    """Reads a PNG file.

    Args:
        content: The bytes of the file.
        path: The file, for messages.

    Returns:
        The samples as stored, uint8 or uint16; palette indices with their palette.

    Raises:
        InputError: The file is damaged, too large or an animation.
    """
    try:
        chunks = _read_chunks(content)
        width, height, bits, colour_type, *methods = HEADER.unpack(chunks.header)
        channels = CHANNELS.get(colour_type, 0)
        if not channels or (colour_type == PALETTE_TYPE and (bits > 8 or not chunks.palette)):
            raise ValueError(f"colour type {colour_type} with {bits} bits a sample")
        require_size(path, height, width, channels)
        grey = channels == 1  # libpng would replace indices by their colours, so they are read as shades
        header = HEADER.pack(width, height, bits, 0 if grey else colour_type, *methods)
        parts: tuple[bytes | memoryview, ...] = (
            SIGNATURE,
            _chunk(b"IHDR", header),
            *chunks.pixels,
            _chunk(b"IEND", b""),
        )
        samples = np.asarray(imagecodecs.png_decode(b"".join(parts))).reshape(height, width, channels)
    except InputError:
        raise
    except (ValueError, StructError, imagecodecs.PngError) as error:
        raise unreadable(path, error) from error
    if chunks.frames > 1:
        raise InputError(f"{path}: {chunks.frames} frames of an animation; save the one that is meant")
    if bits < 8:  # libpng scales shades to 0..255
        samples = samples // (255 // (2**bits - 1))
    palette = np.frombuffer(chunks.palette, np.uint8).reshape(-1, 3) if colour_type == PALETTE_TYPE else None
    return Raster(
        samples, bits, alpha=colour_type in ALPHA_TYPES, palette=palette, orientation=exif_orientation(chunks.exif)
    )


def read_palette(content: bytes) -> np.ndarray | None:
    """The palette of a PNG file, without decoding its pixels.

    Args:
        content: The bytes of the file.

    Returns:
        The colours n,3 (uint8), or None where the file has none or is damaged.
    """
    try:
        chunks = _read_chunks(content)
    except (ValueError, StructError):
        return None
    indexed = HEADER.unpack(chunks.header)[3] == PALETTE_TYPE
    return np.frombuffer(chunks.palette, np.uint8).reshape(-1, 3) if indexed else None


def _read_chunks(content: bytes) -> _Chunks:
    """Raises ValueError for a file that is cut short, or whose header or palette is damaged."""
    found, at, kind = _Chunks(), len(SIGNATURE), b""
    view = memoryview(content)
    while kind != b"IEND":
        if at + 12 > len(content):
            raise ValueError("the file is cut short")
        (size,), kind = UINT32.unpack_from(content, at), content[at + 4 : at + 8]
        end = at + 12 + size
        if end > len(content):
            raise ValueError("the file is cut short")
        data = view[at + 8 : end - 4]
        if kind == b"IDAT":
            found.pixels.append(view[at:end])  # libpng compares its checksum
        elif kind in (b"IHDR", b"PLTE", b"acTL"):
            if zlib.crc32(view[at + 4 : end - 4]) != UINT32.unpack_from(content, end - 4)[0]:
                raise ValueError(f"the checksum of chunk {kind.decode()} is wrong")
            if kind == b"acTL":
                (found.frames,) = UINT32.unpack_from(data)
            elif kind == b"PLTE":
                found.palette = bytes(data)
            else:
                found.header = bytes(data)
        elif kind == b"eXIf":
            found.exif = bytes(data)
        elif kind[:1].isupper() and kind != b"IEND":
            raise ValueError(f"chunk {kind!r} is unknown")
        at = end
    if len(found.header) != HEADER.size or not found.pixels or len(found.palette) % 3:
        raise ValueError("header, palette or pixels are missing")
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((UINT32.pack(len(data)), kind, data, UINT32.pack(zlib.crc32(data, zlib.crc32(kind)))))
