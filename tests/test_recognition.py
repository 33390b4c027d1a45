"""`folder:DIR` recognises other layouts and names of files that tools write; else it says what it saw."""

import shutil
from pathlib import Path

import made_annotations
import made_data
import made_exports
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from made_data import save

from compress.data.check import check
from compress.data.dataset import open_data
from search_spaces.errors import InputError

pytestmark = pytest.mark.usefixtures("elsewhere")

PUBLISHED = [made_data.camvid, made_data.voc, made_data.cityscapes, made_data.ade20k]
ANNOTATED = [make for make in made_annotations.DATA_SETS if make is not made_annotations.coco_file]


@pytest.mark.parametrize("make", [*PUBLISHED, *made_exports.DATA_SETS, *ANNOTATED], ids=lambda make: make.__name__)
def test_a_folder_is_recognised_which_is_said_in_one_line(
    tmp_path: Path, make, capsys: pytest.CaptureFixture[str]  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    made = make(tmp_path)
    layout, named = made.spec.split(":")[0], open_data(made.spec)
    found = open_data(f"folder:{tmp_path}")
    images = [[pair.image for pair in pairs] for pairs in (named.train, named.val)]
    assert [[pair.image for pair in pairs] for pairs in (found.train, found.val)] == images
    assert (found.labels, found.fingerprint) == (named.labels, named.fingerprint)
    check(found)
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"note: --data folder:{tmp_path}: read as {layout}:{tmp_path}, because of ")


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_valid_stands_for_val(folder_data: Path, tmp_path: Path, name: str) -> None:
    own = Path(shutil.copytree(folder_data, tmp_path / "own"))
    before = open_data(f"folder:{own}")
    fingerprint = before.fingerprint
    (own / "val").rename(own / name)
    after = open_data(f"folder:{own}")
    assert [pair.image.name for pair in after.val] == [pair.image.name for pair in before.val]
    assert (after.train, after.fingerprint, after.notes) == (before.train, fingerprint, ())
    shutil.copytree(own / name, own / "val")
    with pytest.raises(InputError, match=f"own has val and {name}, and both are for validation; keep one"):
        open_data(f"folder:{own}")


@pytest.mark.parametrize("suffix", ["_mask", "_label", "_gt", "_GT"])
def test_masks_may_have_a_suffix(folder_data: Path, tmp_path: Path, suffix: str) -> None:
    own = Path(shutil.copytree(folder_data, tmp_path / "own"))
    for mask in own.glob("*/masks/*.png"):
        mask.rename(mask.with_name(f"{mask.stem}{suffix}.png"))
    data = open_data(f"folder:{own}")
    assert {pair.mask.name for pair in data.val} == {f"{i}{suffix}.png" for i in range(3)}
    assert not data.left_out
    check(data)
    data.val[0].mask.unlink()
    assert open_data(f"folder:{own}").val == data.val  # the check names the mask that is missing
    data.train[0].mask.with_name("0.png").write_bytes(data.train[1].mask.read_bytes())
    (group,) = open_data(f"folder:{own}").left_out
    assert str(group) == f"masks without an image: 1 (train/masks/0{suffix}.png)"


@pytest.mark.parametrize("ending", ["_mask.png", "_gt.tif", ".png"])
@pytest.mark.parametrize("splits", [True, False])
def test_images_and_masks_may_lie_side_by_side(tmp_path: Path, ending: str, splits: bool) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "valid") if splits else (".",):
        for i in range(4):
            save(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8), tmp_path / split / f"{i}.jpg")
            save(rng.integers(0, 2, (40, 40)).astype(np.uint8), tmp_path / split / f"{i}{ending}")
        if "_" in ending:
            save(np.zeros((40, 40), np.uint8), tmp_path / split / f"7{ending}")
    (tmp_path / "classes.txt").write_text("field\nroad\n")
    data = open_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.val)) == ((4, 4) if splits else (3, 1))
    assert {pair.mask.name for pair in data.train + data.val} == {f"{i}{ending}" for i in range(4)}
    assert data.classes == ("field", "road")
    assert [group.reason for group in data.left_out] == ["masks without an image"] * ("_" in ending)
    check(data)


def test_a_folder_that_is_not_recognised_is_described(tmp_path: Path) -> None:
    for name in ("photos/1.jpg", "photos/2.jpg", "boxes/1.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError) as caught:
        open_data(f"folder:{tmp_path}")
    assert str(caught.value) == (
        f"--data folder:{tmp_path}: there is no folder {tmp_path}/images; {tmp_path} holds the folders boxes, photos "
        "and the files 2 .jpg, 1 .xml; boxes in .xml files are no masks; export outlines, such as COCO; what is "
        "needed: images/ and masks/ with files of the same names, or one of the layouts of docs/data.md"
    )


def test_parquet_files_without_two_columns_or_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_exports.parquet(tmp_path)
    (tmp_path / "data/validation-00000-of-00001.parquet").unlink()
    data = open_data(made.spec)
    assert (len(data.train), len(data.val), data.classes) == (2, 1, ("class0", "class1", "class2"))
    (tmp_path / "classes.txt").write_text("road\ncar\nlight\n")
    assert open_data(made.spec).classes == ("road", "car", "light")
    table = pyarrow.table({"image": [b""], "caption": ["a dog"]})
    pyarrow.parquet.write_table(table, tmp_path / "data/train-00000-of-00002.parquet")
    with pytest.raises(InputError, match=r"it has the columns image, caption; what is needed: a column of images \(im"):
        open_data(made.spec)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r'pip install "slimlab\[parquet\]"'):
        open_data(made.spec)


def test_other_classes_in_the_other_split_of_roboflow_are_refused(tmp_path: Path) -> None:
    made = made_exports.roboflow(tmp_path)
    (tmp_path / "valid/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    with pytest.raises(InputError, match=r"valid/_classes.csv: other classes than in .*train/_classes.csv"):
        open_data(made.spec)
    shutil.rmtree(tmp_path / "valid")
    data = open_data(made.spec)
    assert (len(data.train), len(data.val), data.classes) == (2, 1, ("background", "car", "traffic light"))


def test_a_cvat_task_without_subsets_is_split_by_the_seed(tmp_path: Path) -> None:
    made = made_exports.cvat(tmp_path)
    lists = tmp_path / "ImageSets/Segmentation"
    (lists / "default.txt").write_text((lists / "train.txt").read_text())
    for name in ("train.txt", "val.txt"):
        (lists / name).unlink()
    data = open_data(made.spec)
    assert (len(data.train), len(data.val)) == (2, 1)
    assert [str(group) for group in data.left_out] == [
        "images that no list names: 2 (JPEGImages/seq3/0.jpg, JPEGImages/seq3/1.jpg)"
    ]
    shutil.rmtree(tmp_path / "JPEGImages")
    with pytest.raises(InputError, match=r"has masks but no folder JPEGImages .* export it again with 'Save images'"):
        open_data(f"folder:{tmp_path}")
