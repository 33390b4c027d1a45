"""Tissues of the brain: axial slices of the MNI152 template, as the PyPI package nilearn carries it.

The T1 volume (skull-stripped, 1 mm) becomes grey images; each voxel of the brain has the likeliest of three tissues:
grey and white matter as their probability maps say, and cerebrospinal fluid with what these two leave.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from compress.data.makers.split_folder import BlockSplit, Example, write_splits
from compress.data.volumes import read_volume
from search_spaces.errors import InputError

CLASSES_TXT = "background 0 0 0\ngrey matter 214 122 96\nwhite matter 240 236 220\ncerebrospinal fluid 62 124 196\n"
DATA = Path("datasets/data")  # in the package
FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
REMEDY = "pip install --no-deps nilearn"
MIN_BRAIN_SHARE = 0.02  # of a slice that is used
MARGIN = 4  # voxels around the brain
SPLIT = BlockSplit(10, (3, 7), gap=5)  # of slices, which are a millimetre apart


def find_volumes() -> tuple[Path, ...]:
    """Finds the volumes of the template in the package nilearn.

    Returns:
        The files of T1, grey matter and white matter.

    Raises:
        InputError: nilearn or its files are missing.
    """
    package = find_spec("nilearn")  # not imported: only its files are wanted
    if package is None or package.origin is None:
        raise InputError(f"medical: the MNI152 volumes come with the package nilearn; {REMEDY}")
    volumes = tuple(Path(package.origin).parent / DATA / FILE.format(kind) for kind in ("t1", "gm", "wm"))
    for volume in volumes:
        if not volume.is_file():
            raise InputError(f"medical: {volume} is missing; {REMEDY} --upgrade")
    return volumes


def write(volumes: tuple[Path, ...], folder: Path) -> None:
    """Writes the data set in the layout of `--data folder:DIR`.

    Args:
        volumes: The files of T1, grey matter and white matter.
        folder: An empty folder.

    Raises:
        InputError: A volume cannot be read, or the volumes differ in their axes.
    """
    t1, grey, white = (_share(path) for path in volumes)
    if not t1.shape == grey.shape == white.shape:
        raise InputError(f"medical: {volumes[0].parent}: the volumes differ in their axes; {REMEDY} --upgrade")
    masks = tissues(t1, grey, white)
    brain = masks > 0
    x, y = (_extent(places) for places in np.nonzero(brain)[:2])
    images = np.round(t1 * 255).astype(np.uint8)
    used = np.flatnonzero(brain.mean(axis=(0, 1)) >= MIN_BRAIN_SHARE)

    def examples(places: list[int]) -> Iterator[Example]:
        for z in used[places]:  # the first axis points right, the second to the front, which is up in the image
            image, mask = (np.rot90(volume[x, y, z]) for volume in (images, masks))
            yield f"z{z:03}", image, mask

    write_splits(folder, SPLIT.places(len(used)), examples, CLASSES_TXT)


def tissues(t1: np.ndarray, grey: np.ndarray, white: np.ndarray) -> np.ndarray:
    """The class of each voxel. The brain is where T1 is not zero.

    Args:
        t1: X,Y,Z, in 0..1.
        grey: The probability of grey matter, X,Y,Z.
        white: The probability of white matter, X,Y,Z.

    Returns:
        X,Y,Z bytes: 0 background, 1 grey matter, 2 white matter, 3 cerebrospinal fluid.
    """
    fluid = 1 - grey - white
    likeliest = np.stack([grey, white, fluid]).argmax(0) + 1
    return np.where(t1 > 0, likeliest, 0).astype(np.uint8)


def _share(path: Path) -> np.ndarray:
    """A volume, divided by its largest value."""
    values = read_volume(path).values.astype(np.float32)
    return np.asarray(values / values.max())


def _extent(places: np.ndarray) -> slice:
    return slice(max(0, places.min() - MARGIN), places.max() + MARGIN + 1)
