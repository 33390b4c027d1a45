"""The recipes: what they make of small volumes and videos, what they hand to the search, what they refuse."""

import argparse
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from commands import Command

import nas.recipe
from compress.data.check import check
from compress.data.dataset import open_data, read_pair
from compress.data.makers import medical, people
from compress.data.makers.split_folder import BlockSplit

Given = list[argparse.Namespace]


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What the search is called with, instead of a search."""
    given: Given = []
    monkeypatch.setattr(nas.recipe, "start", given.append)
    return given


@pytest.fixture
def nilearn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package with volumes of a ball, its upper half moved by a voxel: white inside, grey around it, a shell of
    fluid."""
    folder = tmp_path / "packages" / "nilearn" / medical.DATA
    folder.mkdir(parents=True)
    (tmp_path / "packages" / "nilearn" / "__init__.py").write_text("raise ImportError('only the files are wanted')")
    x, y, z = np.mgrid[:60, :70, :80] - np.array([30, 36, 40]).reshape(3, 1, 1, 1)
    x += z > 0
    radius = np.sqrt(x * x + y * y + z * z)
    white, grey = radius < 12, (radius >= 12) & (radius < 20)
    t1 = (60 * white + 40 * grey + 10 * ((radius >= 20) & (radius < 25))).astype(np.uint8)
    for kind, values in (("t1", t1), ("gm", grey * np.uint8(200)), ("wm", white * np.uint8(200))):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / medical.FILE.format(kind))
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return folder


def walker(i: int) -> tuple[slice, slice]:
    """Where the board is in a frame."""
    return np.s_[30 + i // 100 : 60 + i // 100, i % 100 : i % 100 + 20]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A board that walks over a textured ground, stands in no place for long and never comes back to one."""
    path = tmp_path / "walk.avi"
    ground = np.random.default_rng(0).integers(90, 110, (96, 128, 3)).astype(np.uint8)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for i in range(300):
        frame = ground.copy()
        frame[walker(i)] = (20, 30, 220)
        out.write(frame)
    out.release()
    return path


def test_blocks_are_apart() -> None:
    split = BlockSplit(4, (1,), gap=3).places(40)
    assert split["val"] == list(range(10, 20))
    assert split["train"] == [*range(7), *range(23, 40)]


def test_tissues_of_a_ball(nilearn: Path, elsewhere: Path, command: Command, searched: Given) -> None:
    assert command(nas.recipe.main, "medical", "--budget-ms", 9)[0] == 0
    (given,) = searched
    asked = (given.budget_ms, given.input_size, given.augment, given.run, given.resume)
    assert asked == (9, "384x320", "medical", "medical", True)
    data = open_data(given.data)
    check(data)
    assert data.classes == ("background", "grey matter", "white matter", "cerebrospinal fluid")
    assert (data.class_counts > 0).all()
    names = [[int(pair.image.stem[1:]) for pair in split] for split in (data.train, data.val)]
    assert min(abs(t - v) for t in names[0] for v in names[1]) > medical.SPLIT.gap
    image, mask = read_pair(data.val[0], data)
    assert mask.shape == (49 + 2 * medical.MARGIN, 50 + 2 * medical.MARGIN)
    assert [set(np.unique(image[mask == c])) for c in range(4)] == [{0}, {170}, {255}, {42}]


def test_slices_show_the_front_above(elsewhere: Path, nilearn: Path) -> None:
    volumes = medical.find_volumes()
    t1 = np.zeros((60, 70, 80), np.uint8)
    t1[20:40, 10:60, 10:70] = 100
    t1[20:40, 55:60, 10:70] = 200
    nibabel.save(nibabel.Nifti1Image(t1, np.eye(4)), volumes[0])
    medical.write(volumes, elsewhere / "out")
    image = cv2.imread(str(next((elsewhere / "out" / "train" / "images").iterdir())), cv2.IMREAD_UNCHANGED)
    assert image.shape == (50 + 2 * medical.MARGIN, 20 + 2 * medical.MARGIN)
    assert image[medical.MARGIN, 14] == 255
    assert image[-medical.MARGIN - 1, 14] == 128


def test_who_walks_is_a_person(video: Path, elsewhere: Path, command: Command, searched: Given) -> None:
    assert command(nas.recipe.main, "people", video)[0] == 0
    data = open_data(searched[0].data)
    check(data)
    assert data.classes == ("background", "person")
    frames = [[int(pair.image.stem[1:]) for pair in split] for split in (data.train, data.val)]
    assert min(frames[1]) - max(frames[0]) > people.SPLIT.gap * people.EVERY
    for pair in data.val:
        truth = np.zeros((96, 128), np.uint8)
        truth[walker(int(pair.image.stem[1:]))] = 1
        _, mask = read_pair(pair, data)
        rim = np.ones((9, 9), np.uint8)  # the blur reaches two pixels, JPEG and closed gaps some more
        assert (mask[cv2.erode(truth, rim) == 1] == 1).all()
        assert (mask[cv2.dilate(truth, rim) == 0] == 0).all()


def test_data_are_made_once(video: Path, elsewhere: Path, command: Command, searched: Given) -> None:
    assert command(nas.recipe.main, "people", video)[0] == 0
    folder = Path(searched[0].data.removeprefix("folder:"))
    (folder / "classes.txt").write_text("background\nwalker\nvoid\n")
    assert command(nas.recipe.main, "people", video)[0] == 0
    assert searched[1].data == searched[0].data
    assert "walker" in (folder / "classes.txt").read_text()
    assert not list(folder.parent.glob(".*"))


def test_recipes_without_data_of_their_own(command: Command, searched: Given) -> None:
    assert command(nas.recipe.main, "road", "somewhere/camvid", "--preset", "best")[0] == 0
    assert command(nas.recipe.main, "landuse")[0] == 0
    assert [given.data for given in searched] == ["camvid:somewhere/camvid", "landcover"]
    assert [given.preset for given in searched] == ["best", "quick"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: road|landuse|medical|people"),
        (["faces"], "invalid choice: 'faces'"),
        (["road"], "required: source"),
        (["road", "/nowhere"], "there is no folder /nowhere; check the path"),
        (["people", "/nowhere.avi"], "/nowhere.avi: there is no such video; apt-get download opencv-doc"),
        (["medical"], "come with the package nilearn; pip install --no-deps nilearn"),
    ],
)
def test_what_is_missing_is_one_line(
    elsewhere: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[object], said: str
) -> None:
    monkeypatch.setattr(medical, "find_spec", lambda _: None)
    code, _, err = command(nas.recipe.main, *arguments)
    assert (code, said in err, len(err.splitlines())) == (2, True, 1), err


def test_broken_sources_are_one_line(nilearn: Path, video: Path, elsewhere: Path, command: Command) -> None:
    medical.find_volumes()[0].write_bytes(b"no volume")
    video.write_bytes(b"no video")
    for arguments, said in (
        (["medical"], "cannot be read as a volume"),
        (["people", video], "no video of 200 frames or more"),
    ):
        code, _, err = command(nas.recipe.main, *arguments)
        assert (code, said in err, len(err.splitlines())) == (2, True, 1), err
    medical.find_volumes()[1].unlink()
    assert "gm_tal_nlin_sym_09a_converted.nii.gz is missing" in command(nas.recipe.main, "medical")[2]
    assert not list((elsewhere / "runs" / "data").iterdir())
