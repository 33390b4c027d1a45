"""Images that belong together stay together when a split is drawn, and images that look alike are warned of."""

from hashlib import sha256
from pathlib import Path

import made_annotations
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_data import save

from compress.data.check import check
from compress.data.dataset import DataSet, open_data
from compress.data.near_duplicates import look_alikes, perceptual_hash
from compress.data.splits import VAL_SHARE, draw_groups
from search_spaces.errors import InputError

pytestmark = pytest.mark.usefixtures("elsewhere")


def write(root: Path, names: list[str]) -> str:
    rng = np.random.default_rng(0)
    for name in names:
        save(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8), root / "images" / f"{name}.png")
        save(rng.integers(0, 2, (40, 40)).astype(np.uint8), root / "masks" / f"{name}.png")
    return f"folder:{root}"


def names_of(data: DataSet) -> tuple[set[str], set[str]]:
    train, val = ({pair.image.stem for pair in pairs} for pairs in (data.train, data.val))
    return train, val


def drawn_before(names: list[str], seed: int) -> set[str]:
    """The names that versions without groups drew."""
    ranked = sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest())
    return set(ranked[: max(1, round(VAL_SHARE * len(names)))])


@given(st.sets(st.text(), min_size=2, max_size=60), st.integers(0, 9))
def test_without_groups_the_split_is_as_it_was(names: set[str], seed: int) -> None:
    ordered = sorted(names)
    assert draw_groups(ordered, seed) == drawn_before(ordered, seed)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(0, 9), st.randoms())
def test_drawn_groups_hold_about_their_share(places: list[int], seed: int, random: object) -> None:
    """The order of the images does not matter. Where all groups are small the share is as near as one group."""
    groups = [f"video{place}" for place in places]
    if len(set(groups)) < 2:
        return
    held_out = draw_groups(groups, seed)
    shuffled = list(groups)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert held_out == draw_groups(shuffled, seed)
    assert set() < held_out < set(groups)
    largest = max(map(groups.count, groups))
    count = sum(group in held_out for group in groups)
    if largest <= VAL_SHARE * len(groups):
        assert abs(count - VAL_SHARE * len(groups)) <= largest


FRAMES = [f"video{video}_{i}" for video in range(6) for i in range(3 + video)]


@pytest.mark.parametrize("lines", ["*_\n", "# videos\n" + "".join(f"video{i}_\n" for i in range(6))])
def test_groups_txt_keeps_frames_together(tmp_path: Path, lines: str) -> None:
    spec = write(tmp_path, FRAMES)
    before = open_data(spec)
    (tmp_path / "groups.txt").write_text(lines)
    data = open_data(spec)
    train, val = ({name.split("_")[0] for name in names} for names in names_of(data))
    assert not train & val
    assert train | val == {f"video{i}" for i in range(6)}
    assert data.notes == (
        f"for validation are drawn {len(val)} of 6 groups, which are {len(data.val) / 33:.0%} of the images",
    )
    assert not data.left_out
    assert before.notes == ()
    splits = {names_of(open_data(spec, seed=seed))[1] == names_of(data)[1] for seed in range(5)}
    assert splits == {True, False}


def test_lines_of_groups_txt(tmp_path: Path) -> None:
    """Several lines are one group by its name; the longest line counts; what fits nothing is said."""
    spec = write(tmp_path, [*FRAMES, "alone"])
    (tmp_path / "groups.txt").write_text("video,all\nvideo3_1,other\nnothing_\nalone2,all\n")
    data = open_data(spec)
    assert names_of(data)[1] in ({"video3_1"}, {"alone"}, {"video3_1", "alone"})
    assert data.notes[1:] == (
        f"{tmp_path}/groups.txt: no image has a name that begins as nothing_, alone2",
        f"{tmp_path}/groups.txt: 1 of 34 images are in no group, such as alone",
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "video1_,\n",
            r"groups.txt: 'video1_,' is no group; write how the names of a group begin, such as video1_, or \*_",
        ),
        (",a\n", r"groups.txt: ',a' is no group"),
        ("*\n", r"groups.txt: '\*' is no group"),
        ("*_,a\n", r"groups.txt: '\*_,a' is no group"),
        ("a,b\na,c\n", r"groups.txt: a is there twice, with different groups; keep one line"),
        ("# none\n", r"groups.txt: it has no group"),
        ("video\n", r"all 33 images are one group, video, which a split cuts apart; write smaller groups into"),
        ("\0", r"groups.txt cannot be read"),
    ],
)
def test_lines_of_groups_txt_without_a_meaning(tmp_path: Path, lines: str, said: str) -> None:
    spec = write(tmp_path, FRAMES)
    (tmp_path / "groups.txt").write_text(lines)
    with pytest.raises(InputError, match=said):
        open_data(spec)


def test_folders_are_groups(tmp_path: Path) -> None:
    spec = write(tmp_path, [f"video{video}/{i}" for video in range(5) for i in range(4)])
    data = open_data(spec)
    assert (len(data.train), len(data.val)) == (16, 4)
    assert len({pair.image.parent for pair in data.val}) == 1
    assert data.notes == ("for validation are drawn 1 of 5 groups, which are 20% of the images",)
    check(data)


def test_groups_of_annotations(tmp_path: Path) -> None:
    """A drawn split of a file of COCO takes groups.txt beside the folder of its annotations."""
    made = made_annotations.coco_file(tmp_path)
    (tmp_path / "groups.txt").write_text("0,a\n1,a\n2,a\n3,b\n4,b\n5,b\n")
    data = open_data(made.spec)
    assert names_of(data) in (({"0", "1", "2"}, {"3", "4", "5"}), ({"3", "4", "5"}, {"0", "1", "2"}))


def scene(rng: np.random.Generator) -> np.ndarray:
    return np.kron(rng.integers(0, 200, (6, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)


def test_images_that_look_alike_are_found() -> None:
    """Brighter, noisy, shifted by little; not another scene, and not images without contrast."""
    rng = np.random.default_rng(0)
    image, other = scene(rng), scene(rng)
    noisy = np.clip(image + rng.normal(0, 6, image.shape) + 20, 0, 255).astype(np.uint8)
    moved = np.roll(image, 1, axis=1)
    flat = np.full((40, 40, 3), 90, np.uint8)
    hashes = [perceptual_hash(one) for one in (noisy, other, moved, flat)]
    assert hashes[3] is None
    assert look_alikes(hashes, [perceptual_hash(scene(rng)), None, perceptual_hash(image)]) == [(0, 2), (2, 2)]
    assert look_alikes(hashes, [None]) == []


def test_validation_images_that_look_like_training_images_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    scenes = [scene(rng) for _ in range(4)]
    for split, images in (("train", scenes[:3]), ("val", [scenes[3], np.clip(scenes[1].astype(int) + 9, 0, 255)])):
        for i, image in enumerate(images):
            save(np.asarray(image, np.uint8), tmp_path / split / "images" / f"{i}.png")
            save(rng.integers(0, 2, image.shape[:2]).astype(np.uint8), tmp_path / split / "masks" / f"{i}.png")
    findings = check(open_data(f"folder:{tmp_path}"))
    assert findings.warnings == (
        f"--data folder:{tmp_path}: 1 of 2 validation images looks like a training image, such as "
        f"{tmp_path}/val/images/1.png and {tmp_path}/train/images/1.png; if they are frames of one video or parts of "
        "one scene, keep these in one split (groups.txt, docs/data.md)",
    )
    assert capsys.readouterr().err == f"warning: {findings.warnings[0]}\n"
