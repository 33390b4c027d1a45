"""Data sets with scenes: images so large that they are read by tiles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import compress.check
from compress.data import scene_files
from compress.data.check import check
from compress.data.crops import Crops
from compress.data.dataset import DataSet, open_data, read_pair
from compress.data.decoders import tiff_windows
from compress.data.labels import IGNORE
from compress.data.scenes import shifted
from compress.data.statistics import mask_counts
from compress.data.validation import read_validation
from compress.data.windows import Window
from compress.evaluation.metrics import mean_iou
from compress.evaluation.sliding import Tiling
from compress.evaluation.tile_scores import TileScores
from compress.stages.scene_figures import _count, scene_figures

TILE = (32, 48)
SIDES = (320, 250)  # H, W of a scene in these tests


def write_scene(folder: Path, name: str, seed: int, nodata_rows: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Writes a scene and its mask: blocks of classes whose colours tell them apart; the lowest rows are void."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (SIDES[0] // 10, SIDES[1] // 10))
    mask = blocks.repeat(10, 0).repeat(10, 1).astype(np.uint8)
    image = np.array([[30, 60, 90], [120, 150, 20], [220, 40, 200]], np.uint8)[mask]
    image += rng.integers(0, 20, image.shape, np.uint8)
    if nodata_rows:
        mask[-nodata_rows:], image[-nodata_rows:] = IGNORE, 0
    for kind, pixels in (("images", image), ("masks", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        options = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb" if kind == "images" else "minisblack"}
        tifffile.imwrite(folder / kind / f"{name}.tif", pixels, **options)
    return image, mask


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in which TIFF files of more than 10,000 pixels are scenes."""
    monkeypatch.setattr(scene_files, "SCENE_PIXELS", 10_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"bigtiff": True, "byteorder": ">"}])
def test_what_is_a_scene(small: Path, options: dict) -> None:
    for shape, size in (((101, 100, 3), (101, 100)), ((100, 100, 3), None)):
        tifffile.imwrite(small.with_suffix(".tif"), np.zeros(shape, np.uint8), photometric="rgb", **options)
        assert scene_files.scene_size(small.with_suffix(".tif")) == size
    small.with_suffix(".tif").write_bytes(b"II*\0")
    assert scene_files.scene_size(small.with_suffix(".tif")) is None


def test_tiles_are_pairs(small: Path) -> None:
    image, mask = write_scene(small / "train", "map", 0, nodata_rows=100)
    write_scene(small / "val", "other", 1)
    data = open_data(f"folder:{small}", tile=TILE)
    assert all(pair.window is not None and (pair.window.height, pair.window.width) == TILE for pair in data.train)
    for pair in data.train:
        assert pair.window is not None
        got_image, got_mask = read_pair(pair, data)
        assert np.array_equal(got_image, pair.window.of(image))
        assert np.array_equal(got_mask, pair.window.of(mask))
        assert (got_mask != IGNORE).any(), "tiles without a label are left out"
    covered = np.zeros(SIDES, bool)
    for pair in data.train:
        assert pair.window is not None
        pair.window.of(covered)[:] = True
    assert covered[mask != IGNORE].all()
    assert len(data.files) == 4
    assert check(data).statistics["val"].sizes[0] == TILE


def test_no_file_is_read_as_a_whole(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader is asked for no more than a tile, in the check, in crops and in validation."""
    for split in ("train", "val"):
        write_scene(small / split, split, len(split))
    asked: list[Window] = []
    real = tiff_windows.OpenTiff.read
    monkeypatch.setattr(tiff_windows.OpenTiff, "read", lambda self, window: asked.append(window) or real(self, window))
    monkeypatch.setattr(scene_files, "PART", (64, 64))
    monkeypatch.setattr("compress.data.decoders.tiff.decode", lambda path: pytest.fail(f"{path} is read as a whole"))
    data = open_data(f"folder:{small}", tile=TILE)
    check(data)
    for sampling in ("uniform", "rare"):
        crops = Crops(data, TILE, 24, 8, 0, sampling=sampling)
        for i in range(8):
            crops[i]
    assert len(list(read_validation(data, TILE).batches(TILE))) == len(data.val)
    assert asked
    assert max(window.height * window.width for window in asked) <= 64 * 64


def test_crops_lie_between_tiles_too(small: Path) -> None:
    """They are the same when they are made again, and never leave the part of their split."""
    write_scene(small, "map", 0)
    data = open_data(f"folder:{small}", tile=TILE)
    crops = Crops(data, TILE, 24, 30, 0)
    again = Crops(data, TILE, 24, 30, 0)
    assert all((crops[i][0] == again[i][0]).all() for i in range(30))
    moved = [shifted(pair, 0, i) for i, pair in enumerate(data.train)]
    assert {pair.window for pair in moved} - {pair.window for pair in data.train}
    for pair in moved:
        assert pair.window is not None
        assert pair.area is not None
        assert pair.area.top <= pair.window.top
        assert pair.window.bottom <= pair.area.bottom
        assert pair.area.left <= pair.window.left
        assert pair.window.right <= pair.area.right


def seen(data: DataSet, pairs: tuple) -> np.ndarray:
    found = np.zeros(SIDES, int)
    for pair in pairs:
        pair.window.of(found)[:] += 1
    return found


def test_a_single_scene_is_split_by_strips(small: Path, command) -> None:
    write_scene(small, "map", 0)
    data = open_data(f"folder:{small}", tile=TILE)
    train, val = seen(data, data.train), seen(data, data.val)
    assert not ((train > 0) & (val > 0)).any()
    assert ((train > 0) | (val > 0)).all()
    code, out, err = command(compress.check.main, f"folder:{small}", "--input-size", "32x48")
    assert code == 0
    assert f"columns 0 to 250 of map.tif (250 x 320 pixels) is {len(data.train)} tiles of 32x48" in out
    assert "note: " in err


def test_classes_are_counted_by_tiles(small: Path) -> None:
    _, mask = write_scene(small / "train", "map", 0)
    write_scene(small / "val", "other", 1)
    data = open_data(f"folder:{small}", tile=(32, 50))  # tiles that fit the scene without overlap
    assert data.class_counts.tolist() == mask_counts(mask)[:3].tolist()
    assert data.classes == ("class0", "class1", "class2")


@pytest.mark.parametrize("wrong", ["png", "size", "missing"])
def test_what_is_wrong_with_a_scene(small: Path, wrong: str, command) -> None:
    for split in ("train", "val"):
        write_scene(small / split, split, len(split))
    mask = small / "train" / "masks" / "train.tif"
    (small / "classes.txt").write_text("a\nb\nc\n")
    if wrong == "size":
        tifffile.imwrite(mask, np.zeros((300, 250), np.uint8))
    else:
        mask.rename(mask.with_suffix(".png") if wrong == "png" else mask.with_suffix(".gone"))
        if wrong == "png":
            from PIL import Image

            Image.fromarray(np.zeros(SIDES, np.uint8)).save(mask.with_suffix(".png"))
    code, _, err = command(compress.check.main, f"folder:{small}")
    assert code == 2
    expected = {
        "png": "only TIFF files are read by parts",
        "size": "the mask is 250x300 but",
        "missing": "train.tif",
    }[wrong]
    assert expected in err
    assert len([line for line in err.splitlines() if not line.startswith(("note", "warning"))]) == 1


def test_whole_scenes_are_evaluated(small: Path) -> None:
    """A file that gives the truth reaches an mIoU of 1; tiles overlap, and every labelled pixel counts once."""
    _, mask = write_scene(small / "val", "map", 0, nodata_rows=40)
    write_scene(small / "train", "other", 1)
    data = open_data(f"folder:{small}", tile=TILE)
    scores = TileScores(None, TILE)
    scores.score = lambda image: np.stack([image[..., 0] < 100, image[..., 1] > 130, image[..., 0] > 200], -1)  # type: ignore[method-assign]
    pair = data.val[0]
    counts = _count(data, pair, Tiling(Window(0, 0, *SIDES), TILE), scores)
    assert counts.sum() == (mask != IGNORE).sum()
    assert mean_iou(counts) == 1.0
    assert scene_figures(replace(data, val=tuple(replace(one, area=None) for one in data.val)), TILE, b"") == {}


def test_the_shipped_file_on_a_scene(small: Path) -> None:
    write_scene(small / "train", "other", 1)
    write_scene(small / "val", "map", 0)
    (small / "classes.txt").write_text("".join(f"class{i}\n" for i in range(11)))
    data = open_data(f"folder:{small}", tile=(360, 480))
    model = (Path(__file__).parent.parent / "runs" / "camvid" / "model.tflite").read_bytes()
    found = scene_figures(data, (360, 480), model)["scenes"]
    assert (found["scenes"], found["tiles"], found["empty_tiles"]) == (1, 1, 0)
    assert 0 <= found["miou"] <= 1
    assert found["s_per_scene"] > 0
