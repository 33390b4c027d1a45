"""Image files of every format and depth, and how they become bytes and class indices."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compress.data.dataset import open_data, read_pair
from compress.data.formats import read_bands, read_stored_mask
from compress.data.pixels import Pixels, find_pixels
from search_spaces.errors import InputError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (36, 44, 3)).astype(np.uint8)


def deep(bands: int, dtype: str = "uint16") -> np.ndarray:
    """Smooth, each band with a range of its own."""
    rows, columns = np.mgrid[:36, :44]
    return np.stack([(rows * 40 + columns * 3) * (c + 1) for c in range(bands)], -1).astype(dtype)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1", "CMYK"])
def test_an_8_bit_picture_of_any_mode_is_rgb(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(RGB).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    picture.save(path)
    expected = np.asarray((Image.open(path) if mode == "CMYK" else picture).convert("RGB"))
    np.testing.assert_array_equal(read_bands(path), expected)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_a_16_bit_png_keeps_its_bits(tmp_path: Path, bands: int) -> None:
    values = deep(bands)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[bands]
    assert cv2.imwrite(str(tmp_path / "a.png"), values[..., order])
    read = read_bands(tmp_path / "a.png")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, values[..., :3])


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_tiff_of_many_bands(tmp_path: Path, compression: str | None, planar: str, dtype: str) -> None:
    values = deep(6, dtype)
    stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="minisblack",
        planarconfig=planar,
        compression=compression,
        tile=(16, 16),
    )
    np.testing.assert_array_equal(read_bands(tmp_path / "a.tif"), values)


def test_a_geotiff_with_overviews_is_read_in_full(tmp_path: Path) -> None:
    """As gdaladdo and gdal_translate -of COG write it: smaller copies follow, and tags of the projection."""
    values = deep(4)
    scale = (33550, "d", 3, (10.0, 10.0, 0.0))  # ModelPixelScale
    with tifffile.TiffWriter(tmp_path / "a.tiff") as file:
        kinds = {"photometric": "minisblack", "planarconfig": "contig", "tile": (16, 16), "compression": "lzw"}
        file.write(values, subifds=0, extratags=[(*scale, True)], **kinds)
        file.write(values[::2, ::2], subfiletype=1, **kinds)
    np.testing.assert_array_equal(read_bands(tmp_path / "a.tiff"), values)


def test_an_image_is_read_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB)
    exif = picture.getexif()
    exif[0x0112] = 6  # turn right to see it upright
    picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_bands(tmp_path / "a.png"), np.rot90(RGB, -1))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_a_mask_is_read_as_stored(tmp_path: Path, ending: str, dtype: str) -> None:
    values = RNG.integers(0, 2, (36, 44)).astype(dtype)
    path = tmp_path / f"m.{ending}"
    if ending == "png":
        Image.fromarray(values).save(path)
    else:
        tifffile.imwrite(path, values)
    read = read_stored_mask(path).values
    assert read.dtype != np.bool_
    np.testing.assert_array_equal(read, values)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    for ending in ("png", "jpg", "bmp", "gif", "webp"):
        Image.fromarray(RGB).save(folder / f"a.{ending}")
    Image.fromarray(RGB).quantize(16).save(folder / "p.png")
    cv2.imwrite(str(folder / "b.png"), deep(3))
    tifffile.imwrite(folder / "a.tif", deep(5), planarconfig="contig", photometric="minisblack", compression="lzw")
    tifffile.imwrite(folder / "b.tif", deep(5), planarconfig="contig", photometric="minisblack")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


NAMES = ["a.png", "a.jpg", "b.png", "a.tif", "b.tif", "p.png", "a.bmp", "a.gif", "a.webp"]


@given(name=st.sampled_from(NAMES), at=st.floats(0, 1), data=st.data())
def test_a_damaged_file_is_an_input_error_or_an_image(
    whole_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str, at: float, data: st.DataObject
) -> None:
    content = whole_files[name]
    place = int(at * len(content))
    damaged = data.draw(st.sampled_from([content[:place], content[:place] + b"\x7f" + content[place + 1 :]]))
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(damaged)
    for read in (read_bands, lambda path: read_stored_mask(path).values):
        try:
            assert read(path).size
        except InputError as error:
            assert str(error).startswith(f"{path}: ")


@given(name=st.sampled_from(NAMES), at=st.floats(0, 0.98))
def test_a_file_cut_short_is_refused(
    whole_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str, at: float
) -> None:
    content = whole_files[name]
    path = tmp_path_factory.getbasetemp() / f"cut-{name}"
    path.write_bytes(content[: int(at * len(content))])
    for read in (read_bands, read_stored_mask):
        with pytest.raises(InputError, match=f"cut-{name}: "):
            read(path)


def test_a_tiff_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, deep(1)[..., 0])
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(60_000)
    with pytest.raises(InputError, match=r"60000x60000 values are too many; cut it into tiles"):
        read_bands(path)


class TestPixels:
    def write(self, root: Path, *images: np.ndarray) -> list[Path]:
        root.mkdir(exist_ok=True)
        paths = [root / f"{i}.tif" for i in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig")
        return paths

    def test_bytes_stay_bytes(self, tmp_path: Path) -> None:
        paths = self.write(tmp_path, RGB)
        assert find_pixels(paths, None) == Pixels()
        np.testing.assert_array_equal(Pixels().to_bytes(RGB, paths[0]), RGB)

    def test_one_band_is_read_as_three_alike(self, tmp_path: Path) -> None:
        grey = RGB[..., :1]
        np.testing.assert_array_equal(Pixels().to_bytes(grey, tmp_path), grey.repeat(3, axis=2))

    @pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
    def test_deep_bands_are_stretched_over_their_percentiles(self, tmp_path: Path, elsewhere: Path, dtype: str) -> None:
        images = [deep(4, dtype) + 100 * i for i in range(3)]
        if dtype == "float32":
            images[0][0, 0] = np.nan
        paths = self.write(tmp_path / "d", *images)
        pixels = find_pixels(paths, None)
        assert pixels == find_pixels(paths, None)
        values = np.stack(images)[..., :3].reshape(-1, 3)
        expected = np.nanpercentile(values.astype(float), (1, 99), axis=0)
        np.testing.assert_allclose(np.array(pixels.ranges).T, expected, rtol=1e-5)
        made = np.stack([pixels.to_bytes(image, path) for image, path in zip(images, paths, strict=True)])
        assert made.dtype == np.uint8
        assert [(made[..., c] == end).mean() for c in range(3) for end in (0, 255)] == pytest.approx(
            [0.01] * 6, abs=0.01
        )

    def test_the_range_comes_from_the_training_split_alone(self, tmp_path: Path, elsewhere: Path) -> None:
        for split, factor in (("train", 1), ("val", 9)):
            for kind in ("images", "masks"):
                (tmp_path / split / kind).mkdir(parents=True)
            self.write(tmp_path / split / "images", deep(3) * factor)
            tifffile.imwrite(tmp_path / split / "masks" / "0.tif", np.eye(36, 44, dtype=np.uint8))
        data = open_data(f"folder:{tmp_path}")
        assert max(high for _, high in data.pixels.ranges) <= deep(3).max()
        assert (read_pair(data.val[0], data)[0] == 255).mean() > 0.5

    def test_a_first_image_that_is_broken_does_not_decide(self, tmp_path: Path, elsewhere: Path) -> None:
        paths = self.write(tmp_path / "d", *[deep(3) + i for i in range(4)])
        whole = find_pixels(paths[1:], None)
        paths[0].write_bytes(b"broken")
        assert find_pixels(paths, None) == whole

    @given(
        bands=st.lists(st.integers(1, 5), min_size=3, max_size=3),
        limits=st.lists(st.tuples(st.integers(0, 2000), st.integers(2001, 9000)), min_size=3, max_size=3),
    )
    def test_an_app_can_make_the_same_bytes(self, bands: list[int], limits: list[tuple[int, int]]) -> None:
        """From `to_dict` alone, pixel by pixel, by the formula in the docs."""
        image = deep(5)[:6, :7]
        pixels = Pixels("uint16", tuple(band - 1 for band in bands), tuple(limits))  # type: ignore[arg-type]
        card = pixels.to_dict()
        made = pixels.to_bytes(image, Path("a.tif"))
        for channel, (band, (low, high)) in enumerate(zip(card["bands"], card["ranges"], strict=True)):
            for row, column in np.ndindex(6, 7):
                share = (float(image[row, column, band - 1]) - low) / (high - low)
                byte = int(255 * min(1.0, max(0.0, share)) + 0.5)
                assert abs(int(made[row, column, channel]) - byte) <= (abs(255 * share % 1 - 0.5) < 1e-3)

    def test_bands_are_named_in_a_file(self, tmp_path: Path, elsewhere: Path) -> None:
        paths = self.write(tmp_path, deep(5))
        bands = tmp_path / "bands.txt"
        bands.write_text("5\n3 0 100\n\n1\n")
        pixels = find_pixels(paths, bands)
        assert pixels.bands == (4, 2, 0)
        assert pixels.ranges[1] == (0, 100)
        assert pixels.ranges[0][1] == pytest.approx(5 * pixels.ranges[2][1])
        bands.write_text("2 10 20\n")
        assert find_pixels(paths, bands) == Pixels("uint16", (1, 1, 1), ((10, 20),) * 3)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "0 lines; give one for each channel, 1 to 16"),
            ("1\n" * 2, "lines 1 and 2 are the same band 1"),
            ("red\n", "red: give BAND"),
            ("0\n", "0: give BAND"),
            ("1 5\n", "1 5: give BAND"),
            ("1 9 5\n", "1 9 5: give BAND"),
            ("1 nan 5\n", "1 nan 5: give BAND"),
            ("\xff", "cannot be read"),
        ],
    )
    def test_a_wrong_bands_file_is_said(self, tmp_path: Path, text: str, said: str) -> None:
        bands = tmp_path / "bands.txt"
        bands.write_bytes(text.encode("latin-1"))
        with pytest.raises(InputError, match=said):
            find_pixels(self.write(tmp_path / "d", RGB), bands)

    def test_images_of_another_kind_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"x.tif: band 3 is asked for, there are 2; say in bands.txt"):
            Pixels().to_bytes(RGB[..., :2], tmp_path / "x.tif")
        with pytest.raises(InputError, match=r"x.tif: values are uint16, those of the first image uint8"):
            Pixels().to_bytes(deep(3), tmp_path / "x.tif")
