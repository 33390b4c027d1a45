"""Training crops and the validation split, as tensors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_data import save

from compress.data.augmentation import AUGMENTS
from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.data.dataset import IGNORE, DataSet, open_data
from compress.data.resizing import at_resolution
from compress.data.validation import read_validation

pytestmark = pytest.mark.usefixtures("elsewhere")


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
