"""NIfTI volumes: image and mask must lie in the same place, voxel by voxel."""

import gzip
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel import orientations

from compress.data.dataset import open_data, read_pair
from search_spaces.errors import DataError

pytestmark = pytest.mark.usefixtures("elsewhere")

SIDES = (36, 40, 44)
AFFINE = np.diag([-0.7, -0.8, 2.5, 1.0])
AFFINE[:3, 3] = 11, -7, 30
ORIENTATIONS = [
    np.array([*zip(axes, flips, strict=True)])
    for axes in permutations(range(3))
    for flips in product((1, -1), repeat=3)
]


def mask_values() -> np.ndarray:
    """A mask that no flip and no other order of axes leaves as it is."""
    values = np.zeros(SIDES, np.uint8)
    values[2:9, 3:17, 5:30] = 1
    values[20:25, 30:38, 8:12] = 2
    return values


def write(root: Path, image: nibabel.Nifti1Image, mask: nibabel.Nifti1Image) -> str:
    for kind, volume in (("images", image), ("masks", mask)):
        (root / kind).mkdir()
        nibabel.save(volume, root / kind / "p.nii.gz")
    (root / "bands.txt").write_text("1 0 255\n")
    (root / "classes.txt").write_text("background\nliver\nspleen\n")
    return f"folder:{root}"


@pytest.mark.parametrize("turn", ORIENTATIONS[::5], ids=str)
def test_a_mask_in_any_orientation_lies_where_the_image_does(tmp_path: Path, turn: np.ndarray) -> None:
    truth = mask_values()
    mask = nibabel.Nifti1Image(truth, AFFINE).as_reoriented(turn)
    data = open_data(write(tmp_path, nibabel.Nifti1Image(truth * np.uint8(100), AFFINE), mask))
    for pair in (*data.train, *data.val):
        image, read = read_pair(pair, data)
        np.testing.assert_array_equal(image[..., 0], read * 100)


@pytest.mark.parametrize("change", ["moved", "scaled", "turned"])
def test_voxels_that_lie_elsewhere_are_refused(tmp_path: Path, change: str) -> None:
    affine = AFFINE.copy()
    if change == "moved":
        affine[0, 3] += 0.5
    elif change == "scaled":
        affine[2, 2] *= 1.01
    else:
        affine[:2, :2] = affine[:2, :2] @ np.array([[0.99, -0.14], [0.14, 0.99]])
    values = mask_values()
    spec = write(tmp_path, nibabel.Nifti1Image(values, AFFINE), nibabel.Nifti1Image(values, affine))
    with pytest.raises(DataError, match=r"masks/p.nii.gz: its voxels lie up to [\d.]+ mm from those of .*images/p.nii"):
        open_data(spec)


def test_rounding_of_the_header_is_no_difference(tmp_path: Path) -> None:
    values = mask_values()
    affine = AFFINE + np.random.default_rng(0).normal(0, 1e-5, (4, 4)) * (np.arange(4) < 3)[:, None]
    open_data(write(tmp_path, nibabel.Nifti1Image(values, AFFINE), nibabel.Nifti1Image(values, affine)))


def test_a_file_that_does_not_say_where_it_lies_is_paired_as_stored(tmp_path: Path) -> None:
    values = mask_values()
    mask = nibabel.Nifti1Image(values, None)
    assert not mask.header["sform_code"] and not mask.header["qform_code"]
    data = open_data(write(tmp_path, nibabel.Nifti1Image(values * np.uint8(100), AFFINE), mask))
    image, read = read_pair(data.train[0], data)
    np.testing.assert_array_equal(image[..., 0], read * 100)


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_singular_affine_is_refused(tmp_path: Path, kind: str) -> None:
    """nibabel does not write such a header: the first of its three rows is overwritten with zeros."""
    values = mask_values()
    spec = write(tmp_path, nibabel.Nifti1Image(values, AFFINE), nibabel.Nifti1Image(values, AFFINE))
    file = tmp_path / kind / "p.nii.gz"
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[280:296] = bytes(16)  # srow_x
    file.write_bytes(gzip.compress(content))
    with pytest.raises(
        DataError, match=r"masks/p.nii.gz: its affine or that of .*images/p.nii.gz is singular; mend the header"
    ):
        open_data(spec)


RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("dtype", "said"),
    [(RGB24, "the voxels are RGB colours"), (np.dtype("complex64"), "the voxels are complex numbers")],
)
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_colours_and_complex_numbers_are_refused(tmp_path: Path, dtype: np.dtype, said: str, kind: str) -> None:
    plain, other = nibabel.Nifti1Image(mask_values(), AFFINE), nibabel.Nifti1Image(np.zeros(SIDES, dtype), AFFINE)
    with pytest.raises(DataError, match=rf"{kind}/p.nii.gz: {said}; save one real number a voxel"):
        open_data(write(tmp_path, *((other, plain) if kind == "images" else (plain, other))))


def test_fractional_labels_are_refused(tmp_path: Path) -> None:
    values = mask_values().astype(np.float32)
    image = nibabel.Nifti1Image(values, AFFINE)
    values[0, 0, :4] = 0.25, 0.5, 0.75, 1.0
    with pytest.raises(
        DataError, match=r"masks/p.nii.gz: 3 of 63360 labels are no whole numbers, such as 0.25; resample"
    ):
        open_data(write(tmp_path, image, nibabel.Nifti1Image(values, AFFINE)))


def test_orientations_are_all_there() -> None:
    assert len({tuple(turn.ravel()) for turn in ORIENTATIONS}) == 48
    codes = orientations.io_orientation(AFFINE)
    np.testing.assert_array_equal(codes, [[0, -1], [1, -1], [2, 1]])
