"""TIFF, BigTIFF and GeoTIFF files."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from compress.data.decoders.raster import Raster, require_size, unreadable
from search_spaces.errors import InputError

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF in both byte orders
ORIENTATION = 274
GDAL_NODATA = 42113
LOSSLESS = (
    *(COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS),
    *(COMPRESSION.CCITTRLE, COMPRESSION.CCITTFAX3, COMPRESSION.CCITTFAX4),
    *(COMPRESSION.ZSTD, COMPRESSION.LZMA, COMPRESSION.PNG),
)
JPEG = (COMPRESSION.JPEG, COMPRESSION.OJPEG)
SHADES_AND_RGB = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE)

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # the InputError says what is wrong with a file


def decode(path: Path) -> Raster:
    """Reads a TIFF file. Overviews are passed over, a mask page of GDAL marks nodata.

    Args:
        path: The file.

    Returns:
        The samples as stored, bands last. Pages of equal shape are bands.

    Raises:
        InputError: The file is missing, damaged or too large; it holds several pictures; or its values are neither
            shades, RGB, palette indices nor bands.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series, mask = full_picture(file, path)
            require_size(path, *series.shape)
            require_whole(series, file.filehandle.size)
            page = series.pages[0].keyframe
            require_plain(page, path)
            array = np.moveaxis(series.asarray(), [series.axes.index("Y"), series.axes.index("X")], [0, 1])
            samples = array.reshape(*array.shape[:2], -1)
            return raster_of(page, samples, None if mask is None else mask.asarray(), path)
    except (InputError, FileNotFoundError):
        raise
    except Exception as error:  # tifffile raises many kinds for a damaged file
        raise unreadable(path, error) from error


def raster_of(page: Any, samples: np.ndarray, valid: np.ndarray | None, path: Path) -> Raster:
    """Says what the samples of a picture mean.

    Args:
        page: Its first page, as tifffile describes it.
        samples: H,W,channels as stored, of the whole picture or of a part.
        valid: H,W, 0 where nothing was measured; None where the file has no such page.
        path: The file, for messages.

    Returns:
        The samples with what the file says about them.

    Raises:
        InputError: Opacity, palette or nodata value are of a kind that is not read.
    """
    samples = samples.astype(np.uint8) if samples.dtype == np.bool_ else samples
    return Raster(
        samples,
        page.bitspersample,
        alpha=_has_alpha(page, samples, path),
        palette=_palette(page, path),
        nodata=_nodata(samples, page.tags.valueof(GDAL_NODATA), valid, path),
        white_is_zero=page.photometric == PHOTOMETRIC.MINISWHITE,
        orientation=page.tags.valueof(ORIENTATION, 1),
        pages=samples.shape[2] // page.samplesperpixel,
        is_bands=True,
        lossy="" if page.compression in LOSSLESS else COMPRESSION(page.compression).name,
    )


def read_palette(path: Path) -> np.ndarray | None:
    """The palette of a TIFF file, without decoding its pixels.

    Args:
        path: The file.

    Returns:
        The colours n,3 (uint8), or None where the file has none or is damaged.
    """
    try:
        with tifffile.TiffFile(path) as file:
            return _palette(file.pages.first, path)
    except Exception:  # as in `decode`
        return None


def full_picture(file: Any, path: Path) -> tuple[Any, Any]:
    """Finds the picture among the pages of a file.

    Args:
        file: The file, as tifffile opens it.
        path: Its path, for messages.

    Returns:
        The picture in full size, and the page that marks its valid pixels or None.

    Raises:
        InputError: The file holds several pictures.
    """
    first = [series.pages[0].keyframe for series in file.series]
    full = [s for s, page in zip(file.series, first, strict=True) if not (page.is_reduced or page.is_mask)]
    if len(full) > 1:
        shapes = ", ".join("x".join(map(str, series.shape)) for series in full)
        raise InputError(f"{path}: {len(full)} pictures ({shapes}) in one file; save the one that is meant")
    chosen = full[0] if full else file.series[0]
    masks = [page for page in first if page.is_mask and not page.is_reduced]
    return chosen, masks[0] if full and masks else None


def require_whole(series: Any, size: int) -> None:
    """Checks that a file has all pixels: tifffile would fill those beyond its end.

    Args:
        series: The picture, as tifffile describes it.
        size: The size of the file, in bytes.

    Raises:
        ValueError: Pixels lie beyond the end of the file.
    """
    for page in series.pages:
        ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
        if max(ends, default=0) > size:
            raise ValueError("the file is cut short")


def require_plain(page: Any, path: Path) -> None:
    """Checks the kind of the values.

    Args:
        page: A page, as tifffile describes it.
        path: The file, for messages.

    Raises:
        InputError: They are no shades, RGB, palette indices or bands.
    """
    photometric = page.photometric
    known = photometric in SHADES_AND_RGB or (photometric == PHOTOMETRIC.YCBCR and page.compression in JPEG)
    if not known:
        name = getattr(photometric, "name", photometric)
        raise InputError(f"{path}: colours are stored as {name}; save it as RGB or grey")
    if not isinstance(page.bitspersample, int):
        raise InputError(f"{path}: bands have {page.bitspersample} bits; save all with the same")
    if page.dtype is None or page.dtype.kind not in "biuf":
        raise InputError(f"{path}: values are {page.dtype or 'of an unknown type'}; save whole or real numbers")
    if photometric == PHOTOMETRIC.MINISWHITE and page.dtype.kind not in "bu":
        raise InputError(f"{path}: zero is white, but values are {page.dtype}; save it with zero as black")
    if page.tags.valueof(ORIENTATION, 1) not in range(1, 9):
        raise InputError(f"{path}: orientation {page.tags.valueof(ORIENTATION)} is unknown; save it upright")


def _has_alpha(page: Any, samples: np.ndarray, path: Path) -> bool:
    """Whether the last channel is opacity. Raises InputError where colours are multiplied by it."""
    kind = page.extrasamples[-1] if page.extrasamples else EXTRASAMPLE.UNSPECIFIED
    if kind == EXTRASAMPLE.ASSOCALPHA and (samples[..., -1] != samples[..., -1].max()).any():
        raise InputError(f"{path}: colours are multiplied by their opacity; save it without associated alpha")
    return kind in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)


def _palette(page: Any, path: Path) -> np.ndarray | None:
    """The colours n,3 in 8 bits. Raises InputError for a palette of 8 bits in the place of 16."""
    if page.photometric != PHOTOMETRIC.PALETTE:
        return None
    if page.colormap is None or 0 < page.colormap.max() < 256:
        raise InputError(f"{path}: its palette is missing, or does not use 16 bits; save it as RGB")
    return np.asarray(page.colormap.T >> 8, np.uint8)


def _nodata(samples: np.ndarray, text: str | None, valid: np.ndarray | None, path: Path) -> np.ndarray | None:
    """H,W,channels, true where the file says that nothing was measured; None where it says so nowhere."""
    found = np.zeros(samples.shape, bool)
    if valid is not None:
        found |= (valid == 0)[..., None]
    if text is not None:
        try:
            (value,) = {float(word) for word in str(text).strip("\0 ").split()}
        except ValueError:
            raise InputError(f"{path}: its nodata value is {text!r}; set one number") from None
        equal = _equal(samples, value)
        # 255 in one band of bytes is a bright pixel, in all of them it is nodata
        found |= equal.all(axis=2, keepdims=True) if samples.dtype == np.uint8 else equal
    return found if found.any() else None


def _equal(samples: np.ndarray, value: float) -> np.ndarray:
    """Where samples are this value; a tag of float samples may be rounded in its seventh digit."""
    if samples.dtype.kind != "f":
        return np.asarray(samples == value)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.isclose(samples, value, rtol=1e-6, atol=0, equal_nan=True))
