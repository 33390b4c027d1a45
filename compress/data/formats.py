"""Image and mask files of every format as arrays of their own type. Decoders: compress/data/decoders."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from compress.data.decoders import bitmaps, jpeg, png, tiff, tiff_windows
from compress.data.decoders.raster import Raster, unreadable, upright
from compress.data.windows import Window
from search_spaces.errors import InputError

TIFF_ENDINGS = (".tif", ".tiff")
MASK_ENDINGS = (".png", *TIFF_ENDINGS, ".bmp", ".gif", ".webp")  # JPEG changes values
IMAGE_ENDINGS = (*MASK_ENDINGS, ".jpg", ".jpeg")
VOLUME_ENDINGS = (".nii.gz", ".nii")  # read slice by slice, compress/data/volumes.py
HEAD = 16  # bytes that tell one format from another


@dataclass(frozen=True)
class StoredMask:
    """What a mask file stores.

    Attributes:
        values: H,W values or indices, or H,W,3 colours.
        bits: Bits of one value.
        palette: The colours n,3 (uint8) of the indices; None where values are no indices.
        nodata: H,W, true where the file says that a pixel has no value; None where all have one.
        white_is_zero: The file shows 0 as white.
        orientation: What the file's tag says, 1 (none, or upright) to 8. The values are turned upright already.
    """

    values: np.ndarray
    bits: int = 8
    palette: np.ndarray | None = None
    nodata: np.ndarray | None = None
    white_is_zero: bool = False
    orientation: int = 1


@dataclass(frozen=True)
class StoredImage:
    """What an image file stores.

    Attributes:
        bands: H,W,bands as `read_bands` returns them.
        orientation: What the file's tag says, 1 (none, or upright) to 8. The bands are turned upright already.
    """

    bands: np.ndarray
    orientation: int = 1


def read_bands(path: Path, window: Window | None = None) -> np.ndarray:
    """Reads an image. It is upright as its EXIF or TIFF orientation says, and its palette is applied.

    Args:
        path: The file. Its content decides which format it has, not its ending.
        window: The part to read, of a TIFF file; None for the whole image. Pixels of a part that have no opacity are
            nodata.

    Returns:
        H,W,bands in the type of the file. Files of 8 bits other than TIFF are RGB. The array is a
        `np.ma.MaskedArray` where the file marks pixels as nodata; its `data` are the values as stored.

    Raises:
        InputError: The file is missing or cannot be decoded, or what it stores is not read.
    """
    return read_stored_image(path, window).bands


def read_stored_image(path: Path, window: Window | None = None) -> StoredImage:
    """Reads an image and its orientation tag.

    Args:
        path: The file.
        window: The part to read, of a TIFF file; None for the whole image.

    Returns:
        The content.

    Raises:
        InputError: As `read_bands`.
    """
    raster = _decode(path, window)
    if window is not None and raster.alpha:
        raster = _with_clear_as_nodata(raster)
    samples = _colours(raster, path) if raster.palette is not None else _shades(raster)
    if raster.alpha and (samples.shape[2] == 2 or not raster.is_bands):
        samples = samples[..., :-1]
    if samples.dtype == np.uint8 and samples.shape[2] == 1 and not raster.is_bands:
        samples = samples.repeat(3, axis=2)
    samples = upright(samples, raster.orientation)
    if raster.nodata is not None:
        nodata = upright(raster.nodata, raster.orientation)[..., : samples.shape[2]]
        samples = np.ma.MaskedArray(samples, np.broadcast_to(nodata, samples.shape))
    return StoredImage(samples, raster.orientation)


def read_stored_mask(path: Path, window: Window | None = None) -> StoredMask:
    """Reads a mask. It is upright as its own EXIF or TIFF orientation says; opacity is left out.

    Args:
        path: The file. Its content decides which format it has, not its ending.
        window: The part to read, of a TIFF file; None for the whole mask.

    Returns:
        The values as stored. Values of fewer than 8 bits are not scaled, and a palette is not applied.

    Raises:
        InputError: The file is missing or cannot be decoded, its compression changes values, or what it stores is
            neither one value a pixel nor a colour.
    """
    raster = _decode(path, window)
    if raster.lossy:
        raise InputError(f"{path}: {raster.lossy} may change values; make the mask anew and save it as PNG")
    values = raster.samples[..., :-1] if raster.alpha else raster.samples
    channels = values.shape[2]
    if raster.pages > 1 or channels not in (1, 3) or (raster.palette is not None and channels > 1):
        found = f"{raster.pages} pages" if raster.pages > 1 else f"{channels} channels"
        raise InputError(f"{path}: a mask has one channel of values or three of colours, this one has {found}")
    nodata = None
    if raster.nodata is not None:
        nodata = upright(np.asarray(raster.nodata[..., :channels].all(axis=2)), raster.orientation)
    values = upright(values if channels == 3 else values[..., 0], raster.orientation)
    return StoredMask(values, raster.bits, raster.palette, nodata, raster.white_is_zero, raster.orientation)


def read_palette(path: Path) -> np.ndarray | None:
    """The palette of a file, without decoding its pixels.

    Args:
        path: The file.

    Returns:
        The colours n,3 (uint8); None where the file has no palette or cannot be read.
    """
    try:
        content = path.read_bytes()
        if content.startswith(png.SIGNATURE):
            return png.read_palette(content)
        if content.startswith(tiff.SIGNATURES):
            return tiff.read_palette(path)
        with Image.open(path) as image:
            colours = image.getpalette("RGB") if image.mode == "P" else None
    except Exception:  # Pillow raises many kinds for a damaged file, which the check will name
        return None
    return None if colours is None else np.array(colours, np.uint8).reshape(-1, 3)


def _colours(raster: Raster, path: Path) -> np.ndarray:
    """H,W,3 colours of palette indices. Raises InputError for an index that the palette lacks."""
    indices, palette = raster.samples, np.asarray(raster.palette)
    if indices.shape[2] > 1 or indices.max() >= len(palette):
        raise unreadable(path, f"index {indices.max()} has no colour in its palette")
    return np.asarray(palette[indices[..., 0]])


def _with_clear_as_nodata(raster: Raster) -> Raster:
    """A part of a scene whose pixels without opacity are nodata, as drone maps have them around the map."""
    clear = raster.samples[..., -1:] == 0
    if not clear.any():
        return raster
    nodata = np.broadcast_to(clear, raster.samples.shape)
    return replace(raster, nodata=nodata if raster.nodata is None else raster.nodata | nodata)


def _shades(raster: Raster) -> np.ndarray:
    """Samples with zero as black; those of fewer than 8 bits are scaled to bytes."""
    samples, white = raster.samples, 2**raster.bits - 1
    if raster.white_is_zero:
        samples = samples.dtype.type(white) - samples
    if raster.bits < 8 and samples.dtype == np.uint8:
        samples = np.round(np.arange(white + 1) * (255 / white)).astype(np.uint8)[samples]
    return samples


def _decode(path: Path, window: Window | None) -> Raster:
    """Raises InputError for a file that is missing or of an unknown format, and as the decoders do."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if head.startswith(tiff.SIGNATURES):
                return tiff.decode(path) if window is None else tiff_windows.decode(path, window)
            if window is not None:
                raise InputError(f"{path}: only TIFF files are read by parts; convert it (gdal_translate FILE NEW.tif)")
            content = head + file.read()
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; every image needs its mask, and every mask its image") from None
    except OSError as error:
        raise unreadable(path, error) from error
    if head.startswith(png.SIGNATURE):
        return png.decode(content, path)
    if head.startswith(jpeg.SIGNATURE):
        return jpeg.decode(content, path)
    if bitmaps.is_bitmap(head):
        return bitmaps.decode(content, path)
    raise unreadable(path, "it is none of PNG, JPEG, TIFF, BMP, GIF and WebP" if content else "it is empty")
