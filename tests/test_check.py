"""What the check refuses and warns of, what it remembers, and what the command shows."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import Command
from made_data import save
from PIL import Image

import compress.check
from compress.data.check import check
from compress.data.dataset import DataSet, open_data
from compress.data.fingerprints import fingerprint_of_sizes
from compress.data.memory import training_bytes
from compress.data.preview import _chosen
from search_spaces.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def own(folder_data: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(folder_data, tmp_path / "own"))


@pytest.mark.parametrize(("split", "use"), [("train", "nothing can be learnt"), ("val", "no mIoU can be computed")])
def test_a_split_of_void_is_refused(own: Path, split: str, use: str) -> None:
    for mask in (own / split / "masks").iterdir():
        save(np.full((96, 96), 255, np.uint8), mask)
    with pytest.raises(InputError, match=f"every pixel of the {split} masks is void, so {use}"):
        check(open_data(f"folder:{own}"))


def test_a_class_that_validation_lacks_is_a_warning(own: Path) -> None:
    for mask in (own / "val/masks").iterdir():
        values = np.array(Image.open(mask))
        save(np.where(values == 2, np.uint8(255), values), mask)
    (warning,) = check(open_data(f"folder:{own}")).warnings
    assert "no validation mask has class2; mIoU is the mean over the classes that the masks or the" in warning


def test_copies_within_a_split_are_a_warning(own: Path) -> None:
    shutil.copyfile(own / "train/images/1.png", own / "train/images/2.png")
    (warning,) = check(open_data(f"folder:{own}")).warnings
    assert warning.endswith("images that are copies of others in their split: 1 (train/images/2.png)")


def test_copies_are_found_by_stored_values(tmp_path: Path) -> None:
    """Deep images that become the same bytes are no copies."""
    for split, values in (("train", (100, 200, 300)), ("val", (50_000, 60_000))):
        for i, value in enumerate(values):
            image = np.full((40, 40), value, np.uint16)
            image[0, 0] += 1
            save(image, tmp_path / split / f"images/{i}.png")
            save(np.eye(40, dtype=np.uint8), tmp_path / split / f"masks/{i}.png")
    (tmp_path / "bands.txt").write_text("1 0 10\n")
    check(open_data(f"folder:{tmp_path}"))


def test_many_equal_faults_are_one_line(own: Path) -> None:
    for i in range(6, 40):
        shutil.copyfile(own / "train/images/0.png", own / f"train/images/{i}.png")
        save(np.full((96, 96), 7, np.uint8), own / f"train/masks/{i}.png")
    (own / "val/masks/0.png").unlink()
    with pytest.raises(DataError) as caught:
        check(open_data(f"folder:{own}"))
    first, equal, other = caught.value.lines
    assert first == f"--data folder:{own}: 35 wrong files"
    assert equal.startswith(f"{own}/train/masks/10.png and 33 more like it: class 7 is out of range")
    assert other.startswith(f"{own}/val/masks/0.png: ")


def test_a_mended_mask_changes_the_fingerprint(own: Path) -> None:
    """Even one that keeps its size in bytes; and the fingerprint is the same where the data set is copied to."""
    mask = own / "train/masks/0.png"
    before, content = open_data(f"folder:{own}"), mask.read_bytes()
    copy = open_data(f"folder:{shutil.copytree(own, own.parent / 'copy')}")
    assert before.fingerprint == copy.fingerprint
    assert before.facts() == copy.facts() | {"fingerprint": before.fingerprint}
    mask.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    after = open_data(f"folder:{own}")
    assert after.fingerprint != before.fingerprint
    assert {name for name, fact in after.facts().items() if fact != before.facts()[name]} == {"fingerprint"}


def test_a_fingerprint_of_an_older_version_is_known(own: Path) -> None:
    """It was made of names and sizes."""
    data = open_data(f"folder:{own}")
    old = fingerprint_of_sizes(data.files, data.labels, data.pixels)
    assert len(old) == 12
    assert data.has_fingerprint(old)
    assert data.has_fingerprint(data.fingerprint)
    (own / "train/masks/0.png").write_bytes(b"of another size")
    assert not open_data(f"folder:{own}").has_fingerprint(old)


def unread(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """The data set opened again, where no image or mask can be read any more."""

    def fail(*_: object) -> None:
        raise AssertionError("a file is read again")

    monkeypatch.setattr("compress.data.dataset.decode", fail)
    monkeypatch.setattr("compress.data.statistics.file_digest", fail)
    return open_data(data.spec)


def test_what_the_check_has_read_is_kept(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(np.zeros((300, 200, 3), np.uint8), own / "train/images/5.png")
    save(np.zeros((300, 200), np.uint8), own / "train/masks/5.png")
    data = open_data(f"folder:{own}")
    check(data)
    again = unread(data, monkeypatch)
    assert training_bytes(again) == 4 * (5 * 96 * 96 + 300 * 200)
    assert again.class_counts.sum() + again.statistics["train"].void == training_bytes(again) / 4
    assert len(again.fingerprint) == 16


def test_the_command_describes_a_data_set(own: Path, command: Command) -> None:
    (own / "train/images/notes.txt").write_text("not an image")
    picture = own.parent / "preview.png"
    code, out, err = command(compress.check.main, f"folder:{own}", "--input-size", "192x96", "--preview", picture)
    assert (code, len(err.splitlines())) == (0, 1), err
    lines = {line.split("  ")[0]: " ".join(line.split()) for line in out.splitlines()}
    assert lines["pairs"] == "pairs 6 3"
    assert lines["image size"] == "image size 96x96 96x96"
    assert lines["labelled pixels"] == "labelled pixels 97.9 % 97.9 %"
    shares = [float(line.split()[1]) for line in out.splitlines() if line.startswith("  class")]
    assert len(shares) == 3
    assert sum(shares) == pytest.approx(100, abs=0.02)
    assert "not used: files of a kind that is not read: 1 (train/images/notes.txt)" in out
    assert "no faults; 1 warning" in out
    assert "9 of 9 images have another shape; they become up to 2.00 times as high" in out
    assert len(out.splitlines()) < 40
    with Image.open(picture) as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20


def test_the_command_lists_faults(own: Path, command: Command) -> None:
    (own / "val/masks/0.png").unlink()
    code, out, err = command(compress.check.main, f"folder:{own}")
    assert (code, out, len(err.splitlines())) == (2, "", 2)
    assert f"{own}/val/masks/0.png: the file is missing" in err
    code, _, err = command(compress.check.main, f"folder:{own}", "--preview", "picture.bmp")
    assert (code, err) == (2, "--preview picture.bmp: give the name of a PNG file, such as preview.png\n")


def test_the_preview_may_lie_in_the_home_folder(own: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(own.parent))
    code, _, err = command(compress.check.main, f"folder:{own}", "--preview", "~/picture.bmp")
    assert (code, err.split(": ")[0]) == (2, f"--preview {own.parent}/picture.bmp")


def tag(path: Path, orientation: int) -> None:
    """Gives an image an orientation tag; its pixels stay as they are."""
    with Image.open(path) as image:
        image.load()
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_images_that_a_tag_turns_alone_are_a_warning(own: Path, orientation: int) -> None:
    """Their size stays as it was: the images are square."""
    for name in ("2.png", "4.png"):
        tag(own / "train/images" / name, orientation)
    data = open_data(f"folder:{own}")
    found = check(data)
    assert found.warnings[-1] == (
        f"--data folder:{own}: an orientation tag turns or mirrors 2 of 9 images, but not their masks, such as "
        f"{own}/train/images/2.png; look at them with python -m compress.check folder:{own} --preview preview.png"
    )
    assert [pair.image.name for pair in _chosen(data.train, set(found.turned))] == ["2.png", "4.png", "0.png", "3.png"]
    for name in ("2.png", "4.png"):
        tag(own / "train/masks" / name, orientation)
    assert not any("orientation" in line for line in check(open_data(f"folder:{own}")).warnings)


def test_a_mask_that_is_turned_against_its_image_is_said(own: Path) -> None:
    image, mask = own / "train/images/0.png", own / "train/masks/0.png"
    values = np.random.default_rng(0).integers(0, 256, (40, 64, 3)).astype(np.uint8)
    save(values, image)
    tag(image, 6)
    save(np.eye(64, 40, dtype=np.uint8), mask)  # drawn on the image as viewers show it
    assert check(open_data(f"folder:{own}")).warnings == ()
    save(np.eye(40, 64, dtype=np.uint8), mask)
    sizes = r"masks/0.png: the mask is 64x40 but .*0.png is 40x64"
    with pytest.raises(DataError, match=f"{sizes}; make them the same size, one of them may be turned"):
        check(open_data(f"folder:{own}"))


def test_names_that_are_no_utf8_are_printed(own: Path, command: Command) -> None:
    (own / "train/images/0.png").rename(own / "train/images/caf\udce9.png")
    code, out, _ = command(compress.check.main, f"folder:{own}")
    assert (code, "caf\ufffd.png" in out) == (2, False)  # its mask is missing
    (own / "train/masks/0.png").rename(own / "train/masks/caf\udce9.png")
    (own / "train/images/caf\udce9.txt").write_text("not an image")
    code, out, _ = command(compress.check.main, f"folder:{own}")
    assert (code, "caf\ufffd.txt" in out) == (0, True)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['check', '--help']\n"
        "try:\n import compress.check; compress.check.main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'optuna', 'albumentations', 'numpy') if name in sys.modules])\n"
    )
    root = Path(compress.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.splitlines()[-1] == "[]"
