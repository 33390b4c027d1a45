"""A folder data set of images with several bands, one of which shows the classes alone."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2", "thermal")
SIDE = 64


def write_bands(root: Path, bands: int, train: int = 6, val: int = 2, classes: int = 3) -> Path:
    """Writes uint16 TIFF files, masks and a bands.txt that names all bands. The last band shows the classes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for i in range(count):
            mask = np.kron(rng.integers(0, classes, (4, 4)), np.ones((SIDE // 4, SIDE // 4))).astype(np.uint8)
            image = rng.integers(500, 1500, (SIDE, SIDE, bands)).astype(np.uint16)
            image[..., -1] = 300 + mask * 900.0 + rng.integers(0, 100, mask.shape)
            stored = np.moveaxis(image, -1, 0)
            tifffile.imwrite(
                root / split / "images" / f"{i}.tif", stored, photometric="minisblack", planarconfig="separate"
            )
            Image.fromarray(mask).save(root / split / "masks" / f"{i}.png")
    (root / "bands.txt").write_text("".join(f"{i + 1} {BANDS[i]}\n" for i in range(bands)))
    return root
