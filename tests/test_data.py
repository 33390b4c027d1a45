"""Data sets as the rest sees them: their checks, crops, validation; metrics and losses."""

import json
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compress.augment import AUGMENTS
from compress.batches import Crops, at_resolution, read_validation, training_batches
from compress.check import SMALLEST, check
from compress.data import IGNORE, DataSet, open_data, read_pair
from compress.datasets.published import LANDCOVER
from compress.label_losses import cross_entropy
from compress.losses import distillation
from compress.metrics import confusion, iou_per_class, mean_iou
from search_spaces.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def own(folder_data: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(folder_data, tmp_path / "own"))


def save(array: np.ndarray, path: Path) -> None:
    Image.fromarray(array).save(path)


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
    save(np.zeros((96, SMALLEST - 1, 3), np.uint8), root / "train/images/1.png")
    save(np.zeros((96, SMALLEST - 1), np.uint8), root / "train/masks/1.png")


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


def test_crops_come_from_seed_and_index_alone(folder_data: Path) -> None:
    data = open_data(f"folder:{folder_data}")
    crops, again, other = (Crops(data, (96, 96), 32, 20, seed) for seed in (1, 1, 2))
    backwards = [again[i] for i in reversed(range(20))][::-1]
    assert all(torch.equal(a, b) for i in range(20) for a, b in zip(crops[i], backwards[i], strict=True))
    assert any(not torch.equal(crops[i][0], other[i][0]) for i in range(20))
    image, mask = crops[0]
    assert image.shape == (3, 32, 32)
    assert mask.shape == (32, 32)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_who_makes_them(folder_data: Path, workers: int) -> None:
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 32, 20, 1)
    batches = list(training_batches(crops, 4, 2, workers))
    assert len(batches) == 3
    for step, (images, masks) in enumerate(batches, 2):
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
        for i in range(4):
            image, mask = crops[step * 4 + i]
            torch.testing.assert_close(images[i] * 255, image.float())
            assert torch.equal(masks[i], mask.long())


def test_crops_have_the_shape_that_validation_has(tmp_path: Path) -> None:
    """Images twice as wide as high at a square input size: validation squeezes them, so must a crop. The place of each
    pixel is written in its colours."""
    place = np.stack(np.meshgrid(np.arange(192) * 255 / 191, np.arange(96) * 255 / 95), -1)
    image = np.concatenate([place, np.zeros((96, 192, 1))], -1).round().astype(np.uint8)
    for split in ("train", "val"):
        for kind, array in (("images", image), ("masks", np.eye(96, 192, dtype=np.uint8))):
            (tmp_path / split / kind).mkdir(parents=True)
            save(array, tmp_path / split / kind / "0.png")
    data = open_data(f"folder:{tmp_path}")
    for input_size in ((96, 96), (96, 192), (64, 256)):
        crops = Crops(data, input_size, 32, 30, 0)
        extents = [[float(band.max() - band.min()) / 255 for band in crops[i][0][:2].float()] for i in range(30)]
        inside = [(width, height) for width, height in extents if max(width, height) < 0.95]  # of the image's edges
        assert len(inside) > 10
        for width, height in inside:
            assert 0.7 <= width * input_size[1] / (height * input_size[0]) <= 1.45


@pytest.mark.parametrize("augment", AUGMENTS)
def test_an_augmented_mask_follows_its_image(folder_data: Path, augment: str) -> None:
    data = open_data(f"folder:{folder_data}")
    image, mask = Crops(data, (96, 96), 48, 8, 0, augment)[3]
    brightness = [image[0][mask == c].float().mean() for c in range(3) if (mask == c).any()]
    assert brightness == sorted(brightness)  # the class is written in the red channel


def turns(data: DataSet, augment: str) -> set[tuple[bool, bool]]:
    """Which way red and green grow in crops of an image where both grow to the lower right: (to the left, upwards)."""
    crops = Crops(data, (64, 96), 48, 40, 0, augment)
    images = [crops[i][0].float() for i in range(40)]
    return {(bool(i[0, :, 0].mean() > i[0, :, -1].mean()), bool(i[1, 0].mean() > i[1, -1].mean())) for i in images}


def test_augmentations_flip_what_has_no_side(tmp_path: Path) -> None:
    """Road scenes left and right, aerial images also up and down, bodies never; only rotation leaves void."""
    image = np.stack([*np.meshgrid(np.arange(192), np.arange(128)), np.zeros((128, 192))], -1).astype(np.uint8)
    for split in ("train", "val"):
        for kind, array in (("images", image), ("masks", np.eye(128, 192, dtype=np.uint8))):
            (tmp_path / split / kind).mkdir(parents=True)
            save(array, tmp_path / split / kind / "0.png")
    data = open_data(f"folder:{tmp_path}")
    mirrored, upright = {(False, False), (True, False)}, {(False, False)}
    assert turns(data, "photo") == turns(data, "road") == mirrored
    assert len(turns(data, "aerial")) == 4
    assert turns(data, "medical") == upright
    for augment in AUGMENTS:
        crops = Crops(data, (64, 96), 48, 20, 0, augment)
        assert any((crops[i][1] == IGNORE).any() for i in range(20)) == (augment == "medical")


def test_validation_is_at_the_input_size(folder_data: Path) -> None:
    data = open_data(f"folder:{folder_data}")
    validation = read_validation(data, (64, 80))
    assert validation.images.shape == (3, 3, 64, 80)
    assert validation.masks.shape == (3, 64, 80)
    (small, mask), *_ = validation.batches((32, 40))
    assert small.shape == (1, 3, 32, 40)
    assert mask.shape == (1, 64, 80)


def test_resized_pixels_are_whole_bytes() -> None:
    images = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    pixels = at_resolution(images, (24, 24)) * 255
    torch.testing.assert_close(pixels, pixels.round(), atol=1e-3, rtol=0)


@given(st.integers(0, 1000))
def test_miou_equals_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, 1, 9, 9))
    truth[0, 0] = IGNORE
    counts = confusion(torch.from_numpy(predicted), torch.from_numpy(truth), 4, IGNORE)
    seen = truth != IGNORE
    expected = [
        ((truth == c) & (predicted == c) & seen).sum() / (((truth == c) | (predicted == c)) & seen).sum()
        for c in range(4)
        if (((truth == c) | (predicted == c)) & seen).any()
    ]
    assert mean_iou(counts) == pytest.approx(np.mean(expected))


def test_a_coarse_class_map_is_enlarged_by_nearest_neighbour() -> None:
    coarse = torch.tensor([[[0, 1], [2, 0]]])
    fine = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)
    counts = confusion(coarse, fine, 3, IGNORE)
    assert torch.equal(iou_per_class(counts), torch.ones(3, dtype=torch.double))


def test_a_class_that_never_occurs_does_not_count() -> None:
    truth = torch.zeros(1, 2, 2, dtype=torch.long)
    assert mean_iou(confusion(truth, truth, 3, IGNORE)) == 1.0


def test_distillation_is_zero_only_for_the_teachers_own_output() -> None:
    logits = torch.randn(2, 3, 4, 4)
    assert distillation(logits, logits) == pytest.approx(0, abs=1e-6)
    assert distillation(logits, logits.flip(1)) > 0.01


def test_cross_entropy_ignores_void() -> None:
    logits = torch.randn(1, 3, 2, 2)
    mask = torch.tensor([[[0, IGNORE], [IGNORE, IGNORE]]])
    expected = torch.nn.functional.cross_entropy(logits[:, :, 0, 0], torch.tensor([0]))
    torch.testing.assert_close(cross_entropy(logits, mask, IGNORE), expected)
