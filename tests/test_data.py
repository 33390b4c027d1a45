"""Data sets as the rest sees them: their checks, crops, validation; metrics and losses."""

import json
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_data import save
from PIL import Image

from compress.data.check import MIN_SIDE, check
from compress.data.dataset import IGNORE, open_data, read_pair
from compress.data.layouts.landcover import LANDCOVER
from search_spaces.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def own(folder_data: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(folder_data, tmp_path / "own"))


def test_folder_is_read(folder_data: Path) -> None:
    data = open_data(f"folder:{folder_data}")
    assert (len(data.train), len(data.val), data.classes) == (6, 3, ("class0", "class1", "class2"))
    image, mask = read_pair(data.train[0], data)
    assert image.shape == (96, 96, 3)
    assert set(np.unique(mask)) <= {0, 1, 2, IGNORE}


def test_landcover_is_whole_and_legal() -> None:
    data = open_data("landcover")
    assert (len(data.train), len(data.val), len(data.classes)) == (67, 24, 8)
    check(data)
    assert data.class_counts.min() > 0
    assert read_pair(data.val[-1], data)[0].shape == (256, 256, 3)


def test_landcover_tiles_keep_their_gap() -> None:
    listing = json.loads((LANDCOVER / "splits.json").read_text())
    corners = [(int(t[1:5]), int(t[6:])) for tiles in listing["splits"].values() for t in tiles]
    apart = listing["tile_pixels"] + listing["gap_pixels"]
    assert len(set(corners)) == len(corners) == 115
    for i, (r, c) in enumerate(corners):
        for other_r, other_c in corners[:i]:
            columns = abs(c - other_c)
            assert abs(r - other_r) >= apart or min(columns, 7200 - columns) >= apart


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("moon", "--data moon: unknown data set; choose from landcover, camvid:DIR, voc:DIR, cityscapes:DIR, ade20k:"),
        ("folder", "name the folder"),
        ("folder:/nowhere", "there is no folder /nowhere"),
        ("camvid:/", "there is no folder /train"),
        ("voc:/usr", "train.txt cannot be read"),
        ("cityscapes:/usr", "there is no folder /usr/leftImg8bit/train; see docs/data.md"),
        ("ade20k:/usr", "there is no folder /usr/images/training"),
        ("folder:/usr", "there is no folder /usr/images"),
    ],
)
def test_a_wrong_name_is_said(spec: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_data(spec)


def damage_size(root: Path) -> None:
    save(np.zeros((8, 8), np.uint8), root / "train/masks/1.png")


def damage_class(root: Path) -> None:
    save(np.full((96, 96), 7, np.uint8), root / "train/masks/1.png")


def damage_channels(root: Path) -> None:
    save(np.zeros((96, 96, 3), np.uint8), root / "train/masks/1.png")


def damage_bytes(root: Path) -> None:
    file = root / "train/images/1.png"
    file.write_bytes(file.read_bytes()[:60])


def remove_mask(root: Path) -> None:
    (root / "val/masks/0.png").unlink()


def shrink(root: Path) -> None:
    save(np.zeros((96, MIN_SIDE - 1, 3), np.uint8), root / "train/images/1.png")
    save(np.zeros((96, MIN_SIDE - 1), np.uint8), root / "train/masks/1.png")


def copy_to_val(root: Path) -> None:
    """Other bytes, the same pixels."""
    picture = Image.open(root / "train/images/1.png")
    picture.save(root / "val/images/2.png", compress_level=1)


def deepen(root: Path) -> None:
    save(np.zeros((96, 96), np.uint16), root / "train/images/1.png")


DAMAGES = [
    (damage_size, r"train/masks/1.png: the mask is 8x8 but .*images/1.png is 96x96"),
    (damage_class, r"train/masks/1.png: class 7 is out of range; use 0 to 2, or 255 for void"),
    (damage_channels, r"train/masks/1.png: a mask has one channel"),
    (damage_bytes, r"train/images/1.png: cannot be read as an image"),
    (remove_mask, r"val/masks/0.png: the file is missing"),
    (shrink, r"train/images/1.png: 31x96 pixels are too small; leave it out, 32 a side is the least"),
    (copy_to_val, r"val/images/2.png: the same pixels as .*train/images/1.png, a training image"),
    (deepen, r"train/images/1.png: values are uint16, those of the first image uint8"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_a_bad_file_is_named(own: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(own)
    data = open_data(f"folder:{own}")
    with pytest.raises(DataError) as caught:
        check(data)
    first, *lines = caught.value.lines
    assert first == f"--data folder:{own}: 1 wrong file"
    assert len(lines) == 1
    assert re.search(said, lines[0]), lines[0]


def test_all_bad_files_are_listed_both_of_a_pair_too(own: Path) -> None:
    for mask in (own / "train/masks").iterdir():
        save(np.full((96, 96), 9, np.uint8), mask)
    damage_bytes(own)
    remove_mask(own)
    with pytest.raises(DataError) as caught:
        check(open_data(f"folder:{own}"))
    first, *lines = caught.value.lines
    assert first == f"--data folder:{own}: 8 wrong files"
    assert [line.split(": ")[0].removeprefix(f"{own}/") for line in lines] == [
        *("train/masks/0.png", "train/images/1.png", "train/masks/1.png"),
        *(f"train/masks/{i}.png" for i in range(2, 6)),
        "val/masks/0.png",
    ]


def test_images_of_one_colour_may_be_in_both_splits(own: Path) -> None:
    """As the empty slices of scans are; files that share only their name may be, too (folder_data does)."""
    for split in ("train", "val"):
        save(np.zeros((96, 96, 3), np.uint8), own / split / "images/0.png")
    check(open_data(f"folder:{own}"))


def test_a_class_that_never_occurs_is_a_warning(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "classes.txt").write_text("class0\nclass1\nclass2\nghost\n")
    check(open_data(f"folder:{own}"))
    assert capsys.readouterr().err == f"warning: --data folder:{own}: no training mask has ghost\n"


def test_classes_are_found_where_nobody_named_them(own: Path) -> None:
    (own / "classes.txt").unlink()
    assert open_data(f"folder:{own}").classes == ("class0", "class1", "class2")
    save(np.full((96, 96), 4, np.uint8), own / "val/masks/0.png")
    assert len(open_data(f"folder:{own}").classes) == 5


def test_the_check_keeps_no_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("val", 20)):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for i in range(count):
            save(rng.integers(0, 256, (200, 200, 3)).astype(np.uint8), tmp_path / split / f"images/{i}.png")
            save(rng.integers(0, 2, (200, 200)).astype(np.uint8), tmp_path / split / f"masks/{i}.png")
    data = open_data(f"folder:{tmp_path}")
    tracemalloc.start()
    check(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * 80 * 200 * 200 * 4  # of what all of them take


def test_the_fingerprint_follows_the_files(own: Path) -> None:
    before = open_data(f"folder:{own}").fingerprint
    assert open_data(f"folder:{own}").fingerprint == before
    damage_size(own)
    assert open_data(f"folder:{own}").fingerprint != before
