"""Every layout of data sets: what all of them promise, then what is special to one."""

import importlib
import inspect
from pathlib import Path

import made_annotations
import made_data
import made_exports
import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_data import Made, names_of, save, volume

from compress.data.check import check
from compress.data.dataset import IGNORE, open_data, read_pair
from compress.data.layouts import LAYOUTS
from compress.data.splits import VAL_SHARE, draw_groups
from search_spaces.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("elsewhere")


DATA_SETS = [*made_data.DATA_SETS, *made_exports.DATA_SETS, *made_annotations.DATA_SETS]


@pytest.fixture(params=DATA_SETS, ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    result: Made = request.param(tmp_path)
    return result


@pytest.fixture(params=made_data.DATA_SETS + made_exports.DATA_SETS, ids=lambda make: make.__name__)
def with_masks(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    result: Made = request.param(tmp_path)
    return result


def test_its_files_are_found(made: Made) -> None:
    data = open_data(made.spec)
    for pairs, examples in ((data.train, made.train), (data.val, made.val)):
        assert [(pair.image, pair.mask) for pair in pairs] == [(e.image, e.mask) for e in sorted(examples, key=_place)]
    assert len(data.classes) == len(data.colours) == len(set(data.classes)) == made.classes


def _place(example: made_data.Example) -> str:
    return str(example.image)


def test_its_masks_decode_to_the_truth(made: Made) -> None:
    data = open_data(made.spec)
    example_of = {example.image: example for example in made.train + made.val}
    for pair in data.train + data.val:
        image, mask = read_pair(pair, data)
        example = example_of[pair.image]
        assert image.dtype == mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, example.truth)
        assert np.abs(image.astype(int) - example.pixels).max() <= (6 if "jp" in pair.image.suffix else 0)


def test_it_passes_the_check_which_counts_its_classes(made: Made) -> None:
    data = open_data(made.spec)
    check(data)
    truth = np.stack([example.truth for example in made.train])
    np.testing.assert_array_equal(data.class_counts, [(truth == c).sum() for c in range(made.classes)])
    np.testing.assert_array_equal(data.class_counts, open_data(made.spec).class_counts)


def test_what_is_wrong_with_it_is_listed_file_by_file(with_masks: Made) -> None:
    """A mask that is gone, a mask cut short, a training image in the validation split."""
    made = with_masks
    data = open_data(made.spec)
    content = data.train[1].mask.read_bytes()
    data.train[1].mask.write_bytes(content[: len(content) // 2])
    data.train[0].mask.unlink()
    data.val[0].image.write_bytes(data.train[-1].image.read_bytes())
    copied = [data.val[0].image] if len(data.train) > 2 else []  # else the twin's mask is the one cut short
    with pytest.raises(DataError) as caught:
        check(open_data(made.spec))
    first, *lines = caught.value.lines
    wrong = [data.train[0].mask, data.train[1].mask, *copied]
    assert first == f"--data {made.spec}: {len(wrong)} wrong files"
    for path, line in zip(wrong, lines, strict=True):
        assert line.startswith(f"{path}: "), line


def test_its_fingerprint_follows_its_files(made: Made) -> None:
    before = open_data(made.spec).fingerprint
    assert open_data(made.spec).fingerprint == before
    first = made.train[0]
    if any(folder.name.startswith("masks-") for folder in first.mask.parents):  # a drawn mask is drawn anew
        first.image.write_bytes(first.image.read_bytes() + b"0")
    else:
        first.mask.unlink()
    assert open_data(made.spec).fingerprint != before


def test_every_layout_of_the_table_has_a_module_and_a_test() -> None:
    for layout in LAYOUTS:
        module = importlib.import_module(f"compress.data.layouts.{layout}")
        assert [*inspect.signature(module.list_files).parameters] == ["spec", "root", "seed"]
        assert [*inspect.signature(module.recognise).parameters] == ["root"]
    tested = {make.__name__.split("_")[0] for make in DATA_SETS}
    assert tested - {"landcover"} == LAYOUTS.keys() - {"landcover"}  # which tests/test_data.py reads


def test_lists_of_voc_may_hold_paths(tmp_path: Path) -> None:
    """As the list of SBD's images comes: image and mask on each line."""
    made = made_data.voc(tmp_path)
    before = open_data(made.spec)
    lists = tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    for split, pairs in (("train", before.train), ("val", before.val)):
        lines = [f"/JPEGImages/{p.image.name} /SegmentationClassAug/{p.mask.name}\n" for p in pairs]
        (lists / f"{split}.txt").write_text("".join(lines))
    after = open_data(made.spec)
    assert (after.train, after.val, after.left_out) == (before.train, before.val, ())
    (lists / "val.txt").write_text("2007_3\n")
    assert [str(group) for group in open_data(made.spec).left_out] == [
        "images that no list names: 1 (VOC2012/JPEGImages/2007_4.jpg)"
    ]


@pytest.mark.parametrize(
    ("kind", "count", "first", "last"),
    [
        ("camvid", 11, "sky", "bicyclist"),
        ("voc", 21, "background", "tvmonitor"),
        ("cityscapes", 19, "road", "bicycle"),
        ("ade20k", 150, "wall", "flag"),
    ],
)
def test_published_classes(kind: str, count: int, first: str, last: str) -> None:
    names = names_of(kind)
    assert (len(names), names[0], names[-1]) == (count, first, last)


def test_a_listed_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    made = made_data.folder_lists(tmp_path)
    (tmp_path / "train.txt").write_text("0\nnowhere\n")
    with pytest.raises(DataError, match=r"images/nowhere.png: the file is missing"):
        check(open_data(made.spec))
    (tmp_path / "val.txt").unlink()
    with pytest.raises(InputError, match=r"val.txt cannot be read"):
        open_data(made.spec)


def flat(root: Path, count: int) -> str:
    rng = np.random.default_rng(0)
    for i in range(count):
        save(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8), root / "images" / f"img{i}.png")
        save(rng.integers(0, 2, (40, 40)).astype(np.uint8), root / "masks" / f"img{i}.png")
    return f"folder:{root}"


def test_a_split_is_drawn_by_the_seed_where_none_is_given(tmp_path: Path) -> None:
    spec = flat(tmp_path, 10)
    data, again, other = open_data(spec), open_data(spec), open_data(spec, seed=1)
    assert (len(data.train), len(data.val)) == (8, 2)
    assert data.val == again.val != other.val
    assert {*data.train, *data.val} == {*other.train, *other.val}
    check(data)


@given(st.sets(st.text(), min_size=2, max_size=60), st.integers(0, 9), st.randoms())
def test_a_drawn_split_is_stable(names: set[str], seed: int, random: object) -> None:
    """The order of files does not matter, the share is kept, and one more file moves at most one other."""
    ordered = sorted(names)
    shuffled = list(ordered)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    held_out = draw_groups(ordered, seed)
    assert held_out == draw_groups(shuffled, seed)
    assert held_out < names
    assert len(held_out) == max(1, round(VAL_SHARE * len(names)))
    assert len(held_out - draw_groups([*ordered, "one more file"], seed)) <= 1


def test_a_binary_mask_of_0_and_255_needs_its_classes(tmp_path: Path) -> None:
    spec = flat(tmp_path, 4)
    for mask in (tmp_path / "masks").iterdir():
        save(np.tile(np.array([0, 255], np.uint8), (40, 20)), mask)
    with pytest.raises(InputError, match=r"masks hold 0 and 255; write 'background 0 0 0', 'object 255 255 255'"):
        open_data(spec)
    (tmp_path / "classes.txt").write_text("background 0 0 0\nobject 255 255 255\n")
    assert open_data(spec).class_counts.tolist() == [2400, 2400]


def test_coloured_masks_need_their_classes(tmp_path: Path) -> None:
    made = made_data.folder_colours(tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(InputError, match=r"classes.txt is missing, and no mask has class indices"):
        open_data(made.spec)


@pytest.mark.parametrize("where", ["train.nii.gz", "lists", "drawn"])
def test_volumes_are_split_as_wholes(tmp_path: Path, where: str) -> None:
    names = ["anna", "bert", "carl"]
    stored = {name: volume(tmp_path / "images", tmp_path / "masks", name, 4, i) for i, name in enumerate(names)}
    if where == "lists":
        (tmp_path / "train.txt").write_text("anna.nii.gz\nbert\n")
        (tmp_path / "val.txt").write_text("carl\n")
    elif where == "train.nii.gz":
        for split, inside in (("train", names[:2]), ("val", names[2:])):
            for kind in ("images", "masks"):
                (tmp_path / split / kind).mkdir(parents=True)
                for name in inside:
                    (tmp_path / kind / f"{name}.nii.gz").rename(tmp_path / split / kind / f"{name}.nii.gz")
    (tmp_path / "bands.txt").write_text("1 -160 240\n")
    data = open_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.val)) == (8, 4)
    patients = [{pair.image.name.split("-s")[0] for pair in pairs} for pairs in (data.train, data.val)]
    assert len(patients[1]) == 1
    assert not patients[0] & patients[1]
    check(data)
    for pair in data.train + data.val:
        patient, number = pair.image.stem.split("-s")
        scan, mask = (array[:, :, int(number)] for array in stored[patient])
        image, read = read_pair(pair, data)
        np.testing.assert_array_equal(read, mask)
        expected = np.floor(np.clip((scan + 160) / 400, 0, 1).astype(np.float32) * 255 + np.float32(0.5))
        assert np.abs(image - expected[..., None]).max() <= 1


def test_a_single_volume_is_split_by_blocks_of_slices(tmp_path: Path) -> None:
    volume(tmp_path / "images", tmp_path / "masks", "one", 40, 0)
    data = open_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.val)) == (32, 8)
    check(data)
    held_out = [int(pair.image.stem[-4:]) // 4 for pair in data.val]
    assert sorted(set(held_out)) == sorted(held_out[::4])
    assert all(held_out.count(block) == 4 for block in held_out)


def test_volumes_are_cut_once(tmp_path: Path, elsewhere: Path) -> None:
    volume(tmp_path / "images", tmp_path / "masks", "one", 10, 0)
    data = open_data(f"folder:{tmp_path}")
    (folder,) = (elsewhere / "runs" / "data").glob("slices-*")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif")}
    assert len(before) == 20
    assert open_data(f"folder:{tmp_path}") == data
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif")}


def test_every_wrong_volume_is_listed(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    for i, name in enumerate(("cut", "other", "whole", "alone")):
        volume(images, masks, name, 6, i)
    (images / "cut.nii.gz").write_bytes((images / "cut.nii.gz").read_bytes()[:2000])
    nibabel.save(nibabel.Nifti1Image(np.zeros((40, 48, 5), np.uint8), np.eye(4)), masks / "other.nii.gz")
    (masks / "alone.nii.gz").unlink()
    (tmp_path / "train.txt").write_text("cut\nother\nwhole\nalone\n")
    (tmp_path / "val.txt").write_text("whole\n")
    with pytest.raises(DataError) as caught:
        open_data(f"folder:{tmp_path}")
    first, *lines = caught.value.lines
    assert first.endswith("3 of 4 volumes are wrong")
    assert "images/cut.nii.gz: cannot be read as a volume" in lines[0]
    assert "masks/other.nii.gz: the mask is 40x48x5 but" in lines[1]
    assert "masks/alone.nii.gz: the file is missing" in lines[2]


def test_a_fourth_axis_of_a_volume_is_bands(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scan = rng.integers(0, 200, (*made_data.SIZE, 5, 4)).astype(np.float64)
    volume(tmp_path / "images", tmp_path / "masks", "mri", 5, 0)
    nibabel.save(nibabel.Nifti1Image(scan, np.eye(4)), tmp_path / "images" / "mri.nii.gz")
    (tmp_path / "bands.txt").write_text("4 0 255\n2 0 255\n1 0 255\n")
    data = open_data(f"folder:{tmp_path}")
    check(data)
    image, _ = read_pair(data.train[0], data)
    slice_ = int(data.train[0].image.stem[-4:])
    np.testing.assert_array_equal(image, scan[:, :, slice_][..., [3, 1, 0]])


def test_without_nibabel_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume(tmp_path / "images", tmp_path / "masks", "one", 4, 0)
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(InputError, match=r'pip install "slimlab\[medical\]"'):
        open_data(f"folder:{tmp_path}")


def test_ignored_pixels_are_void_everywhere(made: Made) -> None:
    data = open_data(made.spec)
    assert data.ignore == IGNORE
    assert (read_pair(data.train[0], data)[1][:2] == IGNORE).all()
