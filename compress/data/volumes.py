"""NIfTI volumes, as medical scans come: cut once into slices along the third axis, kept as TIFF under runs/data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tqdm import tqdm

from compress.data.cache import files_key
from compress.data.decoders.raster import MAX_VALUES
from compress.data.pairs import Pair, stem
from compress.files.atomic import RUNS, make_folder
from search_spaces.errors import DataError, InputError

SLICING = "masks in the image's orientation"  # another text when slices are to be cut anew
MAX_APART = 0.1  # voxels between a corner of the image and the same corner of its mask


@dataclass(frozen=True)
class Volume:
    """The voxels of a NIfTI file.

    Attributes:
        values: X,Y,Z or X,Y,Z,bands as stored, scaled as the header says.
        affine: 4,4 from indices of voxels to millimetres; None where the file does not say where its voxels lie.
    """

    values: np.ndarray
    affine: np.ndarray | None


def slices_of(volumes: Sequence[Pair], spec: str) -> list[tuple[Pair, ...]]:
    """Cuts pairs of volumes into pairs of slices, unless they are cut already.

    Args:
        volumes: Pairs of volumes.
        spec: The value of `--data`, for messages.

    Returns:
        The slices of each pair of volumes, in order.

    Raises:
        DataError: Volumes are wrong; it lists all of them.
    """
    slices, faults = [], []
    bar = tqdm(volumes, "slices", leave=False, unit="volume", dynamic_ncols=True, disable=None)
    for volume in bar:
        folder = RUNS / "data" / f"slices-{files_key((volume.image, volume.mask), SLICING)}"
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
    image, stored = read_volume(volume.image), read_volume(volume.mask)
    mask = _aligned(stored, image, volume)
    values = image.values
    if values.ndim not in (3, 4) or values.shape[:3] != mask.shape:
        shapes = (
            f"the mask is {'x'.join(map(str, mask.shape))} but {volume.image} is {'x'.join(map(str, values.shape))}"
        )
        raise InputError(f"{volume.mask}: {shapes}; both need the same three axes")
    parts = mask[mask != np.floor(mask)] if mask.dtype.kind == "f" else mask[:0].ravel()
    if len(parts):
        raise InputError(
            f"{volume.mask}: {len(parts)} of {mask.size} labels are no whole numbers, such as {parts[0]:g}; "
            "resample labels with nearest neighbour, not with interpolation"
        )
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for i in range(values.shape[2]):
        name = f"{stem(volume.image)}-s{i:04}.tif"
        _write(values[:, :, i].astype(np.float32), folder / "images" / name)
        _write(mask[:, :, i], folder / "masks" / name)


def read_volume(path: Path) -> Volume:
    """Reads a NIfTI file.

    Args:
        path: The file.

    Returns:
        Its voxels.

    Raises:
        InputError: The file is missing or damaged, its voxels are colours or complex numbers, or nibabel is missing.
    """
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
        kind = volume.get_data_dtype()
        if kind.kind not in "iufb":
            what = "RGB colours" if kind.names else "complex numbers" if kind.kind == "c" else f"of type {kind}"
            raise InputError(f"{path}: the voxels are {what}; save one real number a voxel, or bands as a fourth axis")
        placed = any(int(volume.header[code]) for code in ("qform_code", "sform_code"))
        return Volume(np.asanyarray(volume.dataobj), np.asarray(volume.affine) if placed else None)
    except InputError:
        raise
    except Exception as error:  # nibabel raises many kinds for a damaged file
        raise InputError(f"{path}: cannot be read as a volume ({error}); replace or remove it") from error


def _aligned(mask: Volume, image: Volume, pair: Pair) -> np.ndarray:
    """The mask's values with axes in the order and direction of the image's.

    Raises InputError when the voxels still lie elsewhere. Where a file does not say where its voxels lie, they are
    paired as they are stored.
    """
    if mask.affine is None or image.affine is None or mask.values.ndim != 3 or image.values.ndim < 3:
        return mask.values
    orientations: Any = import_module("nibabel.orientations")

    target, own = orientations.io_orientation(image.affine), orientations.io_orientation(mask.affine)
    if not (np.isfinite(target).all() and np.isfinite(own).all()):
        raise InputError(f"{pair.mask}: its affine or that of {pair.image} is singular; mend the header")
    turn = orientations.ornt_transform(own, target)
    values: np.ndarray = orientations.apply_orientation(mask.values, turn)
    affine = mask.affine @ orientations.inv_ornt_aff(turn, mask.values.shape)
    if values.shape != image.values.shape[:3]:
        return values
    corners = np.array([(*corner, 1) for corner in product(*((0, side - 1) for side in values.shape))])
    apart = float(np.linalg.norm((corners @ (affine - image.affine).T)[:, :3], axis=1).max())
    if apart > MAX_APART * np.linalg.norm(image.affine[:3, :3], axis=0).min():
        raise InputError(
            f"{pair.mask}: its voxels lie up to {apart:.3g} mm from those of {pair.image}; resample the mask to the "
            "image's grid, or copy the image's affine if the voxels do correspond"
        )
    return values


def _write(array: np.ndarray, path: Path) -> None:
    tifffile.imwrite(
        path, array, photometric="minisblack", planarconfig="contig", compression="zlib", compressionargs={"level": 1}
    )
