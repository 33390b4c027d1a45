"""NIfTI volumes, as medical scans come: cut once into slices along the third axis, kept as TIFF under runs/data."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tqdm import tqdm

from compress.data.cache import files_key
from compress.data.formats import MAX_VALUES
from compress.data.pairs import Pair, stem
from compress.files.atomic import RUNS, make_folder
from search_spaces.errors import DataError, InputError


def slices_of(volumes: Sequence[Pair], spec: str) -> list[tuple[Pair, ...]]:
    """The slices of each pair of volumes, in order. Raises DataError that lists every volume that is wrong."""
    slices, faults = [], []
    bar = tqdm(volumes, "slices", leave=False, unit="volume", dynamic_ncols=True, disable=None)
    for volume in bar:
        folder = RUNS / "data" / f"slices-{files_key((volume.image, volume.mask))}"
        try:
            make_folder(folder, partial(_cut, volume))
        except InputError as error:
            faults.append(str(error))
            continue
        slices.append(tuple(Pair(path, folder / "masks" / path.name) for path in sorted((folder / "images").iterdir())))
    if faults:
        raise DataError([f"--data {spec}: {len(faults)} of {len(volumes)} volumes are wrong", *faults])
    return slices


def _cut(volume: Pair, folder: Path) -> None:
    """Rows of a slice are the first axis, columns the second; a fourth axis is bands."""
    image, mask = read_volume(volume.image), read_volume(volume.mask)
    if image.ndim not in (3, 4) or image.shape[:3] != mask.shape:
        shapes = f"the mask is {'x'.join(map(str, mask.shape))} but {volume.image} is {'x'.join(map(str, image.shape))}"
        raise InputError(f"{volume.mask}: {shapes}; both need the same three axes")
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for i in range(image.shape[2]):
        name = f"{stem(volume.image)}-s{i:04}.tif"
        _write(image[:, :, i].astype(np.float32), folder / "images" / name)
        _write(mask[:, :, i], folder / "masks" / name)


def read_volume(path: Path) -> Any:
    """The stored values. Raises InputError for a file that is missing or no volume, or when nibabel is."""
    try:
        import nibabel
    except ImportError:
        raise InputError(f'{path}: volumes are read with nibabel; pip install "slimlab[medical]"') from None
    if not path.exists():
        raise InputError(f"{path}: the file is missing; every image needs its mask, and every mask its image")
    try:
        volume: Any = nibabel.load(path)
        if math.prod(volume.shape) > MAX_VALUES:
            raise InputError(f"{path}: {'x'.join(map(str, volume.shape))} values are too many; cut it into parts")
        return np.asanyarray(volume.dataobj)
    except InputError:
        raise
    except Exception as error:  # nibabel raises many kinds for a damaged file
        raise InputError(f"{path}: cannot be read as a volume ({error}); replace or remove it") from error


def _write(array: np.ndarray, path: Path) -> None:
    tifffile.imwrite(
        path, array, photometric="minisblack", planarconfig="contig", compression="zlib", compressionargs={"level": 1}
    )
