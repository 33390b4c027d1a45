"""Pixels of images that the file marks as nodata."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from compress.data.formats import read_bands
from compress.data.pixels import Pixels, find_pixels
from search_spaces.errors import InputError

pytestmark = pytest.mark.usefixtures("elsewhere")

LOWEST = float(np.finfo(np.float32).min)
MEASURED = np.random.default_rng(0).integers(200, 2200, (40, 48, 3))


def write(path: Path, dtype: str, value: float, tag: str | None) -> Path:
    """An image with a border of nodata above."""
    values = MEASURED.astype(dtype)
    values[:12] = value
    tags = [] if tag is None else [(42113, "s", 0, tag, True)]
    tifffile.imwrite(path, values, photometric="rgb", extratags=tags)
    return path


@pytest.mark.parametrize(
    ("dtype", "value", "tag"),
    [
        ("int16", -9999, "-9999"),
        ("uint16", 65535, "65535 "),
        ("float32", LOWEST, "-3.4028234663852886e+38"),
        ("float32", LOWEST, "-3.40282e+38"),
        ("float32", LOWEST, None),
        ("float32", np.nan, "nan"),
        ("float32", np.inf, None),
        ("int32", -(2**31), str(-(2**31))),
    ],
)
def test_nodata_is_left_out_of_the_percentiles_and_becomes_byte_0(
    tmp_path: Path, dtype: str, value: float, tag: str | None
) -> None:
    path = write(tmp_path / "a.tif", dtype, value, tag)
    pixels = find_pixels([path], None)
    expected = np.percentile(MEASURED[12:].reshape(-1, 3), (1, 99), axis=0)
    np.testing.assert_allclose(np.array(pixels.ranges).T, expected, atol=1)
    made = pixels.to_bytes(read_bands(path), path)
    assert (made[:12] == 0).all()
    assert len(np.unique(made[12:])) > 250
    np.testing.assert_array_equal(np.ma.getdata(read_bands(path))[12:], MEASURED[12:])


def test_a_bright_band_of_bytes_is_no_nodata(tmp_path: Path) -> None:
    values = np.full((40, 48, 3), 100, np.uint8)
    values[:5, :, 0] = 255
    values[5:9] = 255
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extratags=[(42113, "s", 0, "255", True)])
    made = Pixels().to_bytes(read_bands(tmp_path / "a.tif"), tmp_path / "a.tif")
    np.testing.assert_array_equal(made[:5], values[:5])
    assert (made[5:9] == 0).all()


@pytest.mark.parametrize(("dtype", "value"), [("int16", -9999), ("uint16", 65535), ("float32", -9999)])
def test_nodata_that_is_not_marked_is_refused_by_value(tmp_path: Path, dtype: str, value: int) -> None:
    path = write(tmp_path / "a.tif", dtype, value, None)
    with pytest.raises(InputError, match=rf"30% of the pixels hold {value}, far from all other values.*-a_nodata"):
        find_pixels([path], None)
    (tmp_path / "bands.txt").write_text("1 200 2200\n")
    assert find_pixels([path], tmp_path / "bands.txt").ranges == ((200, 2200),) * 3


def test_a_saturated_sensor_is_no_nodata(tmp_path: Path) -> None:
    values = (MEASURED * 30).astype(np.uint16)
    values[:12] = 65535
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    assert find_pixels([tmp_path / "a.tif"], None).ranges[0][1] == 65535


def test_a_mask_page_of_gdal_marks_nodata(tmp_path: Path) -> None:
    valid = np.ones((40, 48), bool)
    valid[:12] = False
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(MEASURED.astype(np.uint16), photometric="rgb")
        file.write(valid, subfiletype=4, photometric="mask")
    assert (np.ma.getmaskarray(read_bands(tmp_path / "a.tif")) == ~valid[..., None]).all()
    tifffile.imwrite(tmp_path / "b.tif", MEASURED.astype(np.uint16), extratags=[(42113, "s", 0, "none", True)])
    with pytest.raises(InputError, match="its nodata value is 'none'; set one number"):
        read_bands(tmp_path / "b.tif")
