"""compress.predict on scenes: tile by tile, GeoTIFF to GeoTIFF."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import compress.predict
from compress.data import scene_files
from compress.data.decoders import tiff_windows
from compress.data.formats import read_stored_mask
from compress.data.labels import IGNORE
from compress.data.windows import Window
from compress.evaluation.sliding import Tiling
from compress.prediction.geotiff import TILE, has_place, tiles_of
from compress.prediction.segmenter import open_segmenter

MODEL = Path(__file__).parent.parent / "runs" / "camvid"
PLACE = [  # of a map in UTM zone 33N, 0.1 m a pixel
    (33550, "d", 3, (0.1, 0.1, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5400000.0, 0.0), True),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
    (34737, "s", 0, "WGS 84 / UTM zone 33N|", True),
]


def picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    waves = 100 + 60 * np.sin(rows / 37)[..., None] + 50 * np.cos(columns / 53)[..., None] * np.array([1, 0.5, -1])
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A GeoTIFF of 500x900 pixels. The right quarter has no opacity."""
    path = tmp_path_factory.mktemp("scene") / "map.tif"
    pixels = np.dstack([picture(500, 900), np.full((500, 900), 255, np.uint8)])
    pixels[:, 675:, 3] = 0
    options = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, pixels, extratags=PLACE, **options)
    return path, pixels


def test_a_scene_is_its_tiles(scene: tuple[Path, np.ndarray], tmp_path: Path, command, monkeypatch) -> None:
    path, pixels = scene
    asked: list[Window] = []
    real = tiff_windows.OpenTiff.read
    monkeypatch.setattr(tiff_windows.OpenTiff, "read", lambda self, window: asked.append(window) or real(self, window))
    monkeypatch.setattr(scene_files, "SCENE_PIXELS", 400_000)
    code, out, _ = command(compress.predict.main, MODEL, path, "--out", tmp_path)
    assert code == 0
    line = json.loads(out)
    tiling = Tiling(Window(0, 0, 500, 900), (360, 480))
    assert (line["tiles"], line["empty_tiles"]) == (len(tiling), 0)
    assert len(asked) == len(tiling)
    assert max(window.height * window.width for window in asked) == 360 * 480, "no more than a tile is read"
    found = read_stored_mask(Path(line["mask"]))
    assert found.nodata is not None
    assert (found.nodata == (pixels[..., 3] == 0)).all()
    assert line["nodata"] == 0.25
    assert sum(line["shares"].values()) == pytest.approx(1, abs=2e-3)
    segmenter, count = open_segmenter(MODEL), 0
    for row in tiling.rows:
        for column in tiling.columns:
            window = tiling.window(row, column)
            inner = Window(row.risen, column.risen, row.falls - row.risen, column.falls - column.risen)
            inside = Window(inner.top - window.top, inner.left - window.left, inner.height, inner.width)
            bytes_fed = np.where(pixels[..., 3:] == 0, 0, pixels[..., :3]).astype(np.uint8)
            expected = inside.of(segmenter.class_map(window.of(bytes_fed)))
            measured = ~inner.of(found.nodata)
            assert (inner.of(found.values) == expected)[measured].all()
            count += int(measured.sum())
    assert count > 100_000


def test_the_result_lies_where_the_scene_lies(scene: tuple[Path, np.ndarray], tmp_path: Path, command) -> None:
    """Also of a small GeoTIFF that is no scene. GIS programs show the colours of the classes."""
    for flags in ((), ("--scene", "--overlap", "0")):
        code, out, _ = command(compress.predict.main, MODEL, scene[0], "--out", tmp_path, *flags)
        assert code == 0
        mask = Path(json.loads(out)["mask"])
        assert mask.name == "map.mask.tif"
        with tifffile.TiffFile(scene[0]) as given, tifffile.TiffFile(mask) as made:
            for tag in PLACE:
                assert given.pages.first.tags[tag[0]].value == made.pages.first.tags[tag[0]].value
            assert made.pages.first.geotiff_tags == given.pages.first.geotiff_tags
            assert made.pages.first.is_tiled
        card = open_segmenter(MODEL).card
        assert read_stored_mask(mask).palette[: len(card.colours)].tolist() == [list(c) for c in card.colours]
        assert Image.open(json.loads(out)["overlay"]).size == (900, 500)
    assert not list(tmp_path.glob(".*"))


def test_scenes_of_other_sizes(tmp_path: Path, command) -> None:
    """Smaller than a tile, narrower than a tile, and a picture that is no TIFF; an empty scene runs no model."""
    Image.fromarray(picture(90, 700)).save(tmp_path / "wide.png")
    tifffile.imwrite(tmp_path / "small.tif", picture(50, 40), photometric="rgb")
    tags = [(42113, "s", 0, "0", True)]
    tifffile.imwrite(tmp_path / "empty.tif", np.zeros((400, 500, 3), np.uint8), photometric="rgb", extratags=tags)
    inputs = [tmp_path / name for name in ("wide.png", "small.tif", "empty.tif")]
    code, out, _ = command(compress.predict.main, MODEL, *inputs, "--scene", "--out", tmp_path / "out")
    assert code == 0
    wide, small, empty = map(json.loads, out.splitlines())
    assert (wide["tiles"], small["tiles"]) == (2, 1)
    assert read_stored_mask(Path(wide["mask"])).values.shape == (90, 700)
    assert read_stored_mask(Path(small["mask"])).values.shape == (50, 40)
    assert (empty["tiles"], empty["empty_tiles"], empty["nodata"], empty["ms_per_tile"]) == (4, 4, 1.0, None)
    assert (read_stored_mask(Path(empty["mask"])).values == IGNORE).all()


def test_an_overlap_that_cannot_be(scene: tuple[Path, np.ndarray], tmp_path: Path, command) -> None:
    code, _, err = command(compress.predict.main, MODEL, scene[0], "--out", tmp_path, "--overlap", "0.5")
    assert code == 2
    assert "--overlap 0.5: give a share of a tile's side from 0 to 0.33" in err


def test_rows_become_tiles() -> None:
    rows = np.random.default_rng(0).integers(0, 9, (2 * TILE + 7, TILE + 5), np.uint8)
    tiles = list(tiles_of(np.split(rows, [3, 3, 300, 511]), rows.shape))
    assert [tile.shape for tile in tiles] == [(TILE, TILE)] * 6
    whole = np.block([tiles[:2], tiles[2:4], tiles[4:]])
    assert np.array_equal(whole[: rows.shape[0], : rows.shape[1]], rows)
    assert (whole[rows.shape[0] :] == IGNORE).all()
    assert not has_place([])
