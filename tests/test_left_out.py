"""Nothing is left out in silence: files that are not used are counted, names that are there twice are refused."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from made_data import save
from PIL import Image

from compress.data.check import check
from compress.data.dataset import open_data
from search_spaces.errors import InputError

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def own(folder_data: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(folder_data, tmp_path / "own"))


def add_unread_image(root: Path) -> None:
    (root / "train/images/9.psd").write_bytes(b"not read")


def move_into_folder(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / "train" / kind / "berlin").mkdir()
        (root / "train" / kind / "5.png").rename(root / "train" / kind / "berlin" / "5.png")


def remove_image(root: Path) -> None:
    (root / "val/images/2.png").unlink()


def add_apple_double(root: Path) -> None:
    (root / "train/images/._0.png").write_bytes(b"\0\5\x16\7" + bytes(60))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add_unread_image, "1 file is not used: files of a kind that is not read: 1 (train/images/9.psd)"),
        (move_into_folder, "2 files are not used: files in sub-folders: 2 (images/berlin/5.png, masks/berlin/5.png)"),
        (remove_image, "1 file is not used: masks without an image: 1 (val/masks/2.png)"),
        (add_apple_double, "1 file is not used: hidden files: 1 (train/images/._0.png)"),
    ],
)
def test_what_is_not_used_is_counted(own: Path, capsys: pytest.CaptureFixture[str], change, said: str) -> None:  # type: ignore[no-untyped-def]
    change(own)
    findings = check(open_data(f"folder:{own}"))
    line = f"--data folder:{own}: {said}"
    assert findings.warnings == (line,)
    assert capsys.readouterr().err == f"warning: {line}\n"


def test_images_that_no_list_names_are_counted(folder_data: Path, tmp_path: Path) -> None:
    shutil.copytree(folder_data / "train", tmp_path / "own")
    for split, names in (("train", "0\n1\n"), ("val", "2\n")):
        (tmp_path / "own" / f"{split}.txt").write_text(names)
    data = open_data(f"folder:{tmp_path / 'own'}")
    assert [(group.reason, len(group.files)) for group in data.left_out] == [("images that no list names", 3)]


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_name_that_is_there_twice_is_refused(own: Path, kind: str) -> None:
    save(np.zeros((96, 96), np.uint8), own / "train" / kind / "1.tif")
    with pytest.raises(InputError, match=rf"train/{kind}: a name is there twice, such as 1.png and 1.tif; keep one"):
        open_data(f"folder:{own}")


def test_names_of_macos_and_of_linux_are_the_same(own: Path) -> None:
    """An accented letter is one code point (NFC) or two (NFD)."""
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    (own / "train/images/0.png").rename(own / f"train/images/{composed}.png")
    (own / "train/masks/0.png").rename(own / f"train/masks/{decomposed}.png")
    data = open_data(f"folder:{own}")
    assert not data.left_out
    check(data)
    save(np.zeros((96, 96, 3), np.uint8), own / f"train/images/{decomposed}.png")
    with pytest.raises(InputError, match="a name is there twice"):
        open_data(f"folder:{own}")


def test_names_that_are_not_utf8_are_read_and_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind, channels in (("images", (3,)), ("masks", ())):
        (tmp_path / kind).mkdir()
        for i in range(5):
            array = rng.integers(0, 3, (40, 40, *channels)).astype(np.uint8)
            with open(os.fsencode(tmp_path / kind) + b"/caf\xe9%d.png" % i, "wb") as file:  # noqa: PTH123
                Image.fromarray(array).save(file, "png")
    data = open_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.val)) == (4, 1)
    check(data)
    assert len(data.fingerprint) == 16


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("_seg.png", "a mask has the name of its image; rename 0_seg.png to 0.png"),
        (".jpg", "JPEG changes the values of masks; save them as PNG"),
        (
            ".json",
            "polygons are read as labelme:DIR or coco:FILE (docs/data.md); or draw them into masks, such as 0.png",
        ),
        (".npy", "the mask of 0.png is 0.png: its name but for the ending, which is .png,"),
    ],
)
def test_masks_of_another_name_or_kind_are_said(own: Path, ending: str, said: str) -> None:
    (own / "classes.txt").unlink()
    for mask in (own / "train/masks").iterdir():
        mask.rename(mask.with_name(mask.stem + ending))
    with pytest.raises(InputError) as caught:
        open_data(f"folder:{own}")
    images, masks = own / "train/images", own / "train/masks"
    assert f"none of the 6 images of {images} has a mask; {masks} holds 6 files" in str(caught.value)
    assert said in str(caught.value)


def test_splits_inside_of_images_and_masks_are_said(own: Path) -> None:
    """As mmsegmentation and Ultralytics lay them out."""
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (own / "other" / kind).mkdir(parents=True, exist_ok=True)
            (own / split / kind).rename(own / "other" / kind / split)
    with pytest.raises(InputError, match=r"images has no images; it holds 2 sub-folders, such as train; a data"):
        open_data(f"folder:{own / 'other'}")


def test_one_image_is_too_few(tmp_path: Path) -> None:
    save(np.zeros((96, 96, 3), np.uint8), tmp_path / "images/a.png")
    save(np.zeros((96, 96), np.uint8), tmp_path / "masks/a.png")
    with pytest.raises(InputError, match=r"images/a.png is the only image; give at least two"):
        open_data(f"folder:{tmp_path}")


def test_a_folder_without_its_layout_is_said(own: Path) -> None:
    with pytest.raises(InputError, match=rf"{own}: unknown data set; give folder:{own}, or another of landcover"):
        open_data(str(own))


def test_the_home_folder_may_be_a_tilde(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(own.parent))
    assert len(open_data("folder:~/own").train) == 6


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "every pixel of the masks is 0; a network needs two classes or more"),
        (255, "every pixel of the masks is 255, which is void; give masks with classes"),
    ],
)
def test_masks_of_one_class_or_of_none_are_said(own: Path, value: int, said: str) -> None:
    (own / "classes.txt").unlink()
    for mask in own.glob("*/masks/*"):
        save(np.full((96, 96), value, np.uint8), mask)
    with pytest.raises(InputError, match=said):
        open_data(f"folder:{own}")
