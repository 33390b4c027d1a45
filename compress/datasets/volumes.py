"""NIfTI volumes, as medical scans come: cut once into slices along the third axis, kept as TIFF under runs/data."""

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tqdm import tqdm

from compress.datasets.files import Pair, stem
from compress.formats import LARGEST
from compress.run import RUNS
from compress.scan import state_of
from search_spaces.errors import DataError, InputError


def slices_of(volumes: Sequence[Pair], spec: str) -> list[tuple[Pair, ...]]:
    """The slices of each pair of volumes, in order. Raises DataError that lists every volume that is wrong."""
    slices, faults = [], []
    bar = tqdm(volumes, "slices", leave=False, unit="volume", dynamic_ncols=True, disable=None)
    for volume in bar:
        folder = RUNS / "data" / f"slices-{state_of((volume.image, volume.mask))}"
        try:
            if not folder.is_dir():
                _cut(volume, folder)
        except InputError as error:
            faults.append(str(error))
            continue
        slices.append(tuple(Pair(path, folder / "masks" / path.name) for path in sorted((folder / "images").iterdir())))
    if faults:
        raise DataError([f"--data {spec}: {len(faults)} of {len(volumes)} volumes are wrong", *faults])
    return slices


def _cut(volume: Pair, folder: Path) -> None:
    """Rows of a slice are the first axis, columns the second; a fourth axis is bands. The folder appears when whole."""
    image, mask = _read(volume.image), _read(volume.mask)
    if image.ndim not in (3, 4) or image.shape[:3] != mask.shape:
        shapes = f"the mask is {'x'.join(map(str, mask.shape))} but {volume.image} is {'x'.join(map(str, image.shape))}"
        raise InputError(f"{volume.mask}: {shapes}; both need the same three axes")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    for kind in ("images", "masks"):
        (part / kind).mkdir(parents=True)
    for i in range(image.shape[2]):
        name = f"{stem(volume.image)}-s{i:04}.tif"
        _write(image[:, :, i].astype(np.float32), part / "images" / name)
        _write(mask[:, :, i], part / "masks" / name)
    part.replace(folder)


def _read(path: Path) -> Any:
    try:
        import nibabel
    except ImportError:
        raise InputError(f'{path}: volumes are read with nibabel; pip install "slimlab[medical]"') from None
    if not path.exists():
        raise InputError(f"{path}: the file is missing; every image needs its mask, and every mask its image")
    try:
        volume: Any = nibabel.load(path)
        if math.prod(volume.shape) > LARGEST:
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
