"""Training crops and the validation split, as tensors."""

import os
import pickle
import re
import shutil
import signal
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from made_data import CLASSES, save

from compress.data import shared_memory
from compress.data.augmentation import AUGMENTS
from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.data.dataset import IGNORE, DataSet, open_data, read_pair
from compress.data.resizing import at_resolution
from compress.data.threads import AHEAD, MAX_THREADS
from compress.data.validation import Streamed, Validation, read_validation
from compress.evaluation.network import evaluate_network
from compress.evaluation.tflite_file import run_tflite
from compress.tflite.writer import random_weight_model
from search_spaces.errors import DataError, InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

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
    device = torch.device("cpu") if workers else None
    batches = list(training_batches(crops, 4, 2, workers, device=device))
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
    """Images are averaged over areas when they become smaller, masks take the nearest pixel."""
    data = open_data(f"folder:{folder_data}")
    split = read_validation(data, (48, 48))
    assert split.images.shape == (3, 3, 48, 48)
    assert split.masks.shape == (3, 48, 48)
    for i, pair in enumerate(data.val):
        image, mask = read_pair(pair, data)
        blocks = image.reshape(48, 2, 48, 2, 3).mean((1, 3))
        assert np.abs(split.images[i].permute(1, 2, 0).numpy() - blocks).max() <= 0.5
        np.testing.assert_array_equal(split.masks[i], mask[1::2, 1::2])
    (small, mask), *_ = split.batches((24, 36))
    assert small.shape == (1, 3, 24, 36)
    assert mask.shape == (1, 48, 48)
    assert 0 <= small.min() <= small.max() <= 1


def test_resized_pixels_are_whole_bytes() -> None:
    images = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    pixels = at_resolution(images, (24, 24)) * 255
    torch.testing.assert_close(pixels, pixels.round(), atol=1e-3, rtol=0)


@pytest.fixture
def streamed(folder_data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[DataSet, tuple[int, int]], Validation]:
    """Opens a validation split that is too large for its cache."""

    def opened(data: DataSet, input_size: tuple[int, int]) -> Validation:
        with monkeypatch.context() as patch:
            patch.setattr("compress.data.validation.VALIDATION_CACHE_BYTES", 0)
            return read_validation(data, input_size)

    return opened


def test_a_split_too_large_for_memory_is_streamed(folder_data: Path, streamed: Any, tiny: Genotype) -> None:
    """It has the same values in the same order, so a network and a file have the same mIoU over it."""
    data = open_data(f"folder:{folder_data}")
    kept, read = read_validation(data, (64, 96)), streamed(data, (64, 96))
    assert isinstance(kept.images, torch.Tensor)
    assert isinstance(read.images, Streamed)
    assert len(kept) == len(read) == 3
    for size in (1, 2):
        batches = list(zip(kept.batches((32, 48), size), read.batches((32, 48), size), strict=True))
        assert len(batches) == (3 if size == 1 else 2)
        for (images, masks), (same_images, same_masks) in batches:
            assert torch.equal(images, same_images)
            assert torch.equal(masks, same_masks)
    assert all(np.array_equal(a, b) for a, b in zip(kept.pixels((32, 48)), read.pixels((32, 48)), strict=True))
    assert all(torch.equal(kept.masks[i], read.masks[i]) for i in range(3))
    network = Network(tiny)
    assert torch.equal(*(evaluate_network(network, split, torch.device("cpu")) for split in (kept, read)))
    model = random_weight_model(network.graph)
    counts = [sum(c for c, _ in run_tflite(model, CLASSES, s, s.pixels((64, 96)), 1)) for s in (kept, read)]
    assert torch.equal(counts[0], counts[1])


def test_a_streamed_split_holds_few_images(tmp_path: Path, streamed: Any) -> None:
    """However slow the one that takes them is."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 1), ("val", 200)):
        for i in range(count):
            save(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8), tmp_path / split / f"images/{i:03}.png")
            save(np.eye(32, dtype=np.uint8), tmp_path / split / f"masks/{i:03}.png")
    split = streamed(open_data(f"folder:{tmp_path}"), (512, 512))
    tracemalloc.start()
    for _ in zip(range(100), split.images, strict=False):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ahead = AHEAD * min(MAX_THREADS, (os.cpu_count() or 1) + 4)
    assert peak < (ahead + 10) * 512 * 512 * 3 * 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("lost", [("images",), ("images", "masks")], ids=" and ".join)
def test_a_lost_disk_is_said_in_one_line_a_file(
    folder_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, lost: tuple[str, ...]
) -> None:
    monkeypatch.setattr("compress.data.crops.CROP_CACHE_BYTES", 0)
    root = Path(shutil.copytree(folder_data, tmp_path / "own"))
    made = Crops(open_data(f"folder:{root}"), (64, 64), 32, 8, 0)
    for kind in lost:
        shutil.rmtree(root / "train" / kind)
    with pytest.raises(InputError) as caught:
        list(training_batches(made, 4, 0, workers))
    lines = caught.value.lines if isinstance(caught.value, DataError) else [str(caught.value)]
    assert len(lines) == len(lost)
    for kind, line in zip(lost, lines, strict=True):
        assert re.fullmatch(rf"{root}/train/{kind}/\d.png: the file is missing; .*", line)


def test_a_data_error_is_pickled_with_its_lines() -> None:
    error = DataError(["2 wrong files", "a: broken", "b: broken"])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.lines, str(again)) == (DataError, error.lines, str(error))


MEBIBYTE = 2**20


@pytest.mark.parametrize(
    ("free", "workers", "bounded"),
    [
        (8000, 3, (3, 4)),  # as much as is asked for
        (64, 3, (3, 1)),  # Docker's default, 16 crops of 352 pixels
        (64, 8, (3, 1)),
        (16, 3, (0, 0)),  # this process makes them itself
        (64, 0, (0, 0)),
    ],
)
def test_batches_ahead_fit_into_shared_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], free: int, workers: int, bounded: tuple
) -> None:
    usage = SimpleNamespace(free=free * MEBIBYTE)
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(shared_memory, "SHM", Path("/"))
    shared_memory.warn_of_little_room.cache_clear()
    assert shared_memory.bound_prefetch(workers, 4, 16 * 352 * 352 * 4) == bounded
    warned = bounded[0] < workers
    assert ("--shm-size=1g" in capsys.readouterr().err) == warned
    waiting = bounded[0] * bounded[1] + 1
    assert not bounded[0] or waiting * 16 * 352 * 352 * 4 <= free * MEBIBYTE / 2


def test_a_killed_crop_process_is_one_line(folder_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Crops(open_data(f"folder:{folder_data}"), (64, 64), 32, 40, 0)
    monkeypatch.setattr(Crops, "__getitem__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match=r"a process that makes training crops has ended .*--shm-size=1g"):
        list(training_batches(made, 4, 0, workers=1))
