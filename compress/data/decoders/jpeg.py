"""JPEG files. libjpeg fills what is missing with grey and only warns; here every warning refuses the file."""

from io import BytesIO
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import ExifTags, Image

from compress.data.decoders.raster import Raster, require_size, unreadable
from search_spaces.errors import InputError

SIGNATURE = b"\xff\xd8\xff"
EXIF = b"Exif\0\0"
CHANNELS = {"Gray": 1, "CMYK": 4, "YCCK": 4}  # by the colour space that the file says; others have 3


def decode(content: bytes, path: Path) -> Raster:
    """Reads a JPEG file of 8 bits a sample.

    Args:
        content: The bytes of the file.
        path: The file, for messages.

    Returns:
        Grey (H,W,1) or RGB (H,W,3) samples. CMYK becomes RGB as Pillow does it, without a colour profile.

    Raises:
        InputError: The file is damaged, cut short, too large or of another kind than libjpeg reads.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        channels = CHANNELS.get(space, 3)
        require_size(path, height, width, channels)
        target = {1: "GRAY", 3: "RGB", 4: "CMYK"}[channels]
        samples = simplejpeg.decode_jpeg(content, target)
        orientation = 1
        if channels == 4 or EXIF in content:
            with Image.open(BytesIO(content)) as image:
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
                samples = np.asarray(image.convert("RGB")) if channels == 4 else samples
    except InputError:
        raise
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise unreadable(path, error) from error
    return Raster(samples, 8, orientation=orientation if orientation in range(1, 9) else 1, lossy="JPEG")
