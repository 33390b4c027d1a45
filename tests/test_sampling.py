"""Training crops by `--sampling`: uniform ones are as they always were, rare ones show rare classes more often."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Command
from made_data import save

import compress.check
from compress.data import crops as crops_module
from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.data.dataset import DataSet, open_data
from compress.data.sampling import class_places
from compress.stages.config import RunConfig
from compress.stages.run import Run

pytestmark = pytest.mark.usefixtures("elsewhere")
SIZE = (64, 96)


@pytest.fixture
def rare_data(tmp_path: Path) -> DataSet:
    """Eight images, one of which has nine pixels of class 2; class 3 is nowhere."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 1)):
        for i in range(count):
            mask = np.zeros((128, 192), np.uint8)
            mask[:, 100:] = 1
            if i == 5 or split == "val":
                mask[40:43, 20:23] = 2
            image = np.kron(rng.integers(0, 200, (16, 24, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            save(image, tmp_path / split / "images" / f"{i}.png")
            save(mask, tmp_path / split / "masks" / f"{i}.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\npole\nghost\n")
    return open_data(f"folder:{tmp_path}")


def test_uniform_crops_are_as_they_were(rare_data: DataSet) -> None:
    """The digest is that of the version before there was a choice."""
    named, default = Crops(rare_data, SIZE, 32, 24, 3, sampling="uniform"), Crops(rare_data, SIZE, 32, 24, 3)
    digest = hashlib.sha256()
    for i in range(24):
        assert all(torch.equal(a, b) for a, b in zip(named[i], default[i], strict=True))
        digest.update(default[i][1].numpy().tobytes())
    assert digest.hexdigest()[:16] == "c7549b6466e83c6f"


def test_rare_crops_show_a_class_of_their_own(rare_data: DataSet) -> None:
    """Every other crop is uniform. Each of the others shows its class, and the rarest class is drawn most often."""
    count = 120
    rare, uniform = (Crops(rare_data, SIZE, 64, count, 3, sampling=name) for name in ("rare", "uniform"))
    places = class_places(rare_data)
    assert places.images == {0: tuple(range(8)), 1: tuple(range(8)), 2: (5,)}
    assert places.pixels[2] == (9,)
    common = (sum(places.pixels[0]) / sum(places.pixels[1])) ** 0.5  # of the two common classes
    np.testing.assert_allclose(places.chances, np.array([1, common, 10]) / (11 + common))  # 10 is the most
    chosen = {0: 0, 1: 0, 2: 0}
    for i in range(count):
        placed, (image, mask) = places.placed(3, i), rare[i]
        assert (image.shape, mask.shape) == ((3, 64, 64), (64, 64))
        if i % 2 == 0:
            assert placed is None
            assert all(torch.equal(a, b) for a, b in zip((image, mask), uniform[i], strict=True))
        else:
            assert placed is not None
            assert (mask == placed.value).any()
            chosen[placed.value] += 1
    assert chosen[2] > chosen[0] > 0 < chosen[1]
    assert sum(bool((uniform[i][1] == 2).any()) for i in range(count)) < chosen[2]


@pytest.mark.parametrize("augment", ["photo", "medical"])
def test_rare_crops_come_from_seed_and_index_alone(rare_data: DataSet, augment: str) -> None:
    crops, again, other = (Crops(rare_data, SIZE, 32, 20, seed, augment, "rare") for seed in (1, 1, 2))
    backwards = [again[i] for i in reversed(range(20))][::-1]
    assert all(torch.equal(a, b) for i in range(20) for a, b in zip(crops[i], backwards[i], strict=True))
    assert any(not torch.equal(crops[i][0], other[i][0]) for i in range(1, 20, 2))
    for step, (_, masks) in enumerate(training_batches(crops, 4, 2, 1), 2):
        assert all(torch.equal(masks[i], crops[step * 4 + i][1].long()) for i in range(4))


def test_rare_crops_do_not_depend_on_what_is_in_memory(rare_data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = Crops(rare_data, SIZE, 32, 10, 1, sampling="rare")
    monkeypatch.setattr(crops_module, "CROP_CACHE_BYTES", 0)
    read = Crops(rare_data, SIZE, 32, 10, 1, sampling="rare")
    assert read.cached is None
    assert all(torch.equal(a, b) for i in range(10) for a, b in zip(cached[i], read[i], strict=True))


def test_a_placed_crop_has_the_shape_of_uniform_ones(rare_data: DataSet) -> None:
    """Once the image fills the input size: between 0.8 and 1.25 times as wide as high, 0.5 to 1.5 times its scale."""
    rare = Crops(rare_data, (64, 64), 32, 200, 0, sampling="rare")
    _, mask = rare.cached[5]  # type: ignore[index]
    for i in range(1, 200, 2):
        placed = class_places(rare_data).placed(0, i)
        if placed is None or placed.image != 5:
            continue
        window = placed.window(mask, rare.areas, 1.5)
        assert 0 <= window.top <= window.top + window.height <= 128
        assert 0 <= window.left <= window.left + window.width <= 192
        assert 0.75 <= window.width / window.height / 1.5 <= 1.35
        assert 32 / 64 / 1.6 < (window.height / 128 * window.width / 192) ** 0.5 <= 1


def test_a_run_names_its_sampling(rare_data: DataSet, tmp_path: Path) -> None:
    """A checkpoint of uniform crops, also of an older version, is no checkpoint of rare ones."""
    config = RunConfig(budget_ms=5, data=rare_data.spec, input_size=SIZE, preset="toy")
    uniform = Run(tmp_path, config)
    assert uniform.training_key == "ce root photo"
    rare = Run(tmp_path, RunConfig(budget_ms=5, data=rare_data.spec, input_size=SIZE, preset="toy", sampling="rare"))
    assert rare.training_key == "ce root photo rare"
    assert RunConfig.from_dict(rare.config.to_dict(), "config.json") == rare.config
    old = {key: value for key, value in config.to_dict().items() if key != "sampling"}
    assert RunConfig.from_dict(old, "config.json") == config
    schedule = config.schedule("train")
    assert (uniform.crops(schedule, 0).places, rare.crops(schedule, 0).places) == (None, class_places(rare_data))


def test_the_check_tells_how_often_crops_show_each_class(rare_data: DataSet, command: Command) -> None:
    code, out, _ = command(compress.check.main, rare_data.spec, "--input-size", "256x384")
    assert code == 0
    lines = {line.split()[0]: line.split() for line in out.splitlines()[-4:]}
    assert [*lines] == ["sky", "road", "pole", "ghost"]
    for pixels, crops in ((1, 3), (5, 7)):
        assert sum(float(line[pixels]) for line in lines.values()) == pytest.approx(100, abs=0.05)
        assert float(lines["ghost"][crops]) == 0
    assert float(lines["pole"][3]) < 10 < float(lines["pole"][7])
