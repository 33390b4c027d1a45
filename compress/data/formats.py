"""Image files as arrays of their own type: JPEG, PNG, TIFF and GeoTIFF."""

import logging
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageFile, ImageOps

from search_spaces.errors import InputError

TIFF_ENDINGS = (".tif", ".tiff")
MASK_ENDINGS = (".png", *TIFF_ENDINGS, ".bmp", ".gif", ".webp")  # JPEG changes values
IMAGE_ENDINGS = (*MASK_ENDINGS, ".jpg", ".jpeg")
VOLUME_ENDINGS = (".nii.gz", ".nii")  # read slice by slice, compress/data/volumes.py
PLAIN_PNG = ("L", "RGB", "RGBA", "RGB;16B", "RGBA;16B")  # Pillow's names of what needs no conversion
JPEG_END = b"\xff\xd9"
MAX_VALUES = 2**31  # values in one TIFF or volume, checked before anything is allocated for them

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is said in the InputError


def read_bands(path: Path) -> np.ndarray:
    """An image H,W,bands in the file's own type, upright as its EXIF orientation says. JPEG and PNG of 8 bits are RGB.

    Raises InputError for a file that is missing or cannot be decoded.
    """
    array = _read_tiff(path) if path.suffix.lower() in TIFF_ENDINGS else _read_picture(path, mask=False)
    return array if array.ndim == 3 else array[..., None]


def read_values(path: Path) -> np.ndarray:
    """A mask as stored: H,W values (indices of a palette too), or H,W,3 colours. Raises InputError as `read_bands`."""
    array = _read_tiff(path) if path.suffix.lower() in TIFF_ENDINGS else _read_picture(path, mask=True)
    array = array.astype(np.uint8) if array.dtype == np.bool_ else array
    if array.ndim == 2:
        return array
    return array[..., 0] if array.shape[2] < 3 else array[..., :3]


def _read_picture(path: Path, mask: bool) -> np.ndarray:
    try:
        with Image.open(path) as image:
            upright = mask or "exif" not in image.info or image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            array = _decode_directly(image, path) if upright else None
            if array is None:
                image.load()
                if not upright:
                    ImageOps.exif_transpose(image, in_place=True)
                array = np.asarray(image if mask or image.mode.startswith("I") else image.convert("RGB"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, SyntaxError, Image.DecompressionBombError, imagecodecs.PngError, imagecodecs.Jpeg8Error) as error:
        raise _unreadable(path, error) from error
    if array.ndim == 2:
        return array if mask or array.dtype != np.uint8 else array[..., None].repeat(3, axis=2)
    return array[..., :3]


def _decode_directly(image: Image.Image, path: Path) -> np.ndarray | None:
    """Pixels straight from libpng or libjpeg, 2 to 4 times faster than through Pillow, which would also drop half of 16
    bits; None where Pillow has to convert, or to say whether a JPEG that does not end as it should is cut short."""
    plain_png = isinstance(image, ImageFile.ImageFile) and image.format == "PNG" and image.tile[0][3] in PLAIN_PNG
    if plain_png and "transparency" not in image.info:
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    if image.format == "JPEG" and image.mode in ("L", "RGB"):
        content = path.read_bytes()
        return np.asarray(imagecodecs.jpeg8_decode(content)) if content.endswith(JPEG_END) else None
    return None


def _read_tiff(path: Path) -> np.ndarray:
    """H,W or H,W,bands, however the file orders them; of several resolutions the first, which is the full one."""
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.size > MAX_VALUES:
                raise InputError(f"{path}: {'x'.join(map(str, series.shape))} values are too many; cut it into tiles")
            array: np.ndarray = np.moveaxis(series.asarray(), [series.axes.index("Y"), series.axes.index("X")], [0, 1])
            return array.reshape(*array.shape[:2], -1) if array.ndim > 2 else array
    except InputError:
        raise
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # tifffile raises many kinds for a damaged file
        raise _unreadable(path, error) from error


def _missing(path: Path) -> InputError:
    return InputError(f"{path}: the file is missing; every image needs its mask, and every mask its image")


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read as an image ({error}); replace or remove it")
