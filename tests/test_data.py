"""Data sets: what is read, what is refused and how it is said; crops, metrics, losses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compress.batches import Crops, at_resolution, read_validation
from compress.data import IGNORE, LANDCOVER, open_data, read_all, read_pair
from compress.losses import cross_entropy, distillation
from compress.metrics import confusion, iou_per_class, mean_iou
from search_spaces.errors import InputError


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
    pairs = read_all((*data.train, *data.val), data)
    assert all(image.shape == (256, 256, 3) for image, _ in pairs)
    assert set(np.unique([mask for _, mask in pairs])) == {*range(8), IGNORE}


def test_landcover_tiles_keep_their_gap() -> None:
    listing = json.loads((LANDCOVER / "splits.json").read_text())
    corners = [(int(t[1:5]), int(t[6:])) for tiles in listing["splits"].values() for t in tiles]
    apart = listing["tile_pixels"] + listing["gap_pixels"]
    assert len(set(corners)) == len(corners) == 115
    for i, (r, c) in enumerate(corners):
        for other_r, other_c in corners[:i]:
            columns = abs(c - other_c)
            assert abs(r - other_r) >= apart or min(columns, 7200 - columns) >= apart


def test_camvid_layout_and_void(tmp_path: Path) -> None:
    for folder in ("train", "trainannot", "val", "valannot"):
        (tmp_path / folder).mkdir()
    for split in ("train", "val"):
        save(np.zeros((8, 12, 3), np.uint8), tmp_path / split / "a.png")
        save(np.full((8, 12), 11, np.uint8), tmp_path / f"{split}annot" / "a.png")
    data = open_data(f"camvid:{tmp_path}")
    assert len(data.classes) == 11
    assert (read_pair(data.train[0], data)[1] == IGNORE).all()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("moon", "--data moon: unknown data set; choose from landcover, camvid:DIR, folder:DIR"),
        ("folder", "name the folder"),
        ("folder:/nowhere", "there is no folder /nowhere"),
        ("camvid:/", "there is no folder /train"),
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


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_size, r"masks/1.png: the mask is 8x8 but .*images/1.png is 96x96"),
        (damage_class, r"masks/1.png: class 7 is out of range; use 0 to 2, or 255 for void"),
        (damage_channels, r"masks/1.png: a mask has one channel"),
        (damage_bytes, r"images/1.png: cannot be read as an image"),
    ],
)
def test_a_bad_file_is_named(own: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(own)
    data = open_data(f"folder:{own}")
    with pytest.raises(InputError, match=said):
        read_all(data.train, data)


def test_many_bad_files_are_counted_in_one_message(own: Path) -> None:
    for mask in (own / "train/masks").iterdir():
        save(np.full((96, 96), 9, np.uint8), mask)
    data = open_data(f"folder:{own}")
    with pytest.raises(InputError, match="and 3 more bad files"):
        read_all(data.train, data)


def test_a_missing_mask_or_class_list_is_said(own: Path) -> None:
    (own / "val/masks/0.png").unlink()
    with pytest.raises(InputError, match=r"no mask in .*val/masks for 0.png"):
        open_data(f"folder:{own}")
    (own / "classes.txt").unlink()
    with pytest.raises(InputError, match=r"classes.txt is missing; write one class name a line"):
        open_data(f"folder:{own}")


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
    assert 0 <= image.min() <= image.max() <= 1


def test_an_augmented_mask_follows_its_image(folder_data: Path) -> None:
    data = open_data(f"folder:{folder_data}")
    image, mask = Crops(data, (96, 96), 48, 8, 0)[3]
    brightness = [image[0][mask == c].mean() for c in range(3) if (mask == c).any()]
    assert brightness == sorted(brightness)  # the class is written in the red channel


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
