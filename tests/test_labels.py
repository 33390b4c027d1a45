"""How masks of every kind become class indices."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_data import save

from compress.data.classes_file import read_classes
from compress.data.dataset import IGNORE
from compress.data.formats import read_stored_mask
from compress.data.labels import Labels, default_colours
from search_spaces.errors import InputError


class TestLabels:
    @given(st.data(), st.integers(2, 60))
    def test_painted_masks_decode_to_their_classes(self, data: st.DataObject, count: int) -> None:
        colour = st.tuples(*[st.integers(0, 255)] * 3)
        colours = data.draw(st.lists(colour, min_size=count + 1, max_size=count + 1, unique=True))
        classes = [*range(count), IGNORE]
        paint = tuple(zip(colours, classes, strict=True))
        names = tuple(map(str, range(count)))
        labels = Labels(names, tuple(colours[:-1]), tuple(range(count)), (IGNORE,), paint)
        drawn = np.random.default_rng(count).integers(0, count + 1, (9, 11))
        painted = np.array(colours, np.uint8)[drawn]
        np.testing.assert_array_equal(labels.class_map(painted, Path("m.png")), np.array(classes)[drawn])

    def test_default_colours_decode_too(self) -> None:
        """All ADE20K classes without colours of their own can be told apart in a picture."""
        assert len(set(default_colours(150))) == 150

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("road\n", "1 classes; give 2 to 255 names"),
            ("\n".join(map(str, range(256))), "256 classes; give 2 to 255 names"),
            ("road\nroad\n", "road is there twice"),
            ("road 1 2 3\ncar\n", "1 of 2 classes have colours; give all of them one, or none"),
            ("road 1 2 3\ncar 1 2 3\n", r"colour \(1, 2, 3\) is there twice"),
            ("road 1 2 3\ncar 1 2 4\nvoid 1 2 3", r"colour \(1, 2, 3\) is there twice"),
            ("road 1 2 256\ncar 1 2 4\n", "road 1 2 256: a colour is three numbers from 0 to 255"),
            ("\xff\xfe", "cannot be read"),
        ],
    )
    def test_wrong_classes_are_said(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "classes.txt"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(InputError, match=f"classes.txt.*{said}"):
            read_classes(path)

    def test_names_may_have_spaces_and_numbers(self, tmp_path: Path) -> None:
        path = tmp_path / "classes.txt"
        path.write_text("\ufefftraffic light 250 170 30\n  level 2 crop 1 2 3 \nvoid 9 9 9\nvoid 8 8 8\n", "utf-8")
        labels = read_classes(path)
        assert labels.names == ("traffic light", "level 2 crop")
        assert labels.colours == ((250, 170, 30), (1, 2, 3))
        assert labels.void == (2, 3, IGNORE)

    @pytest.mark.parametrize(
        ("mask", "said"),
        [
            (np.full((4, 4), 7, np.uint8), "class 7 is out of range; use 0, 2 to 3, or 1, 255 for void"),
            (np.full((4, 4), 256, np.uint16), "class 256 is out of range"),
            (np.full((4, 4), -1, np.int16), "class -1 is out of range"),
            (np.full((4, 4), 0.5, np.float32), "class 0.5 is out of range"),
            (np.full((4, 4), np.nan, np.float32), "class nan is out of range"),
            (np.zeros((4, 4, 3), np.uint8), r"a mask has one channel .* give them in classes.txt"),
        ],
    )
    def test_values_that_are_no_class_are_said(self, tmp_path: Path, mask: np.ndarray, said: str) -> None:
        path = tmp_path / "classes.txt"
        path.write_text("road\nvoid\ncar\ntree\n")
        with pytest.raises(InputError, match=said):
            read_classes(path).class_map(mask, tmp_path / "m.png")
        whole = np.array([[0, 1, 2, 3, 255]])
        for dtype in ("uint8", "int32", "float64"):
            assert read_classes(path).class_map(whole.astype(dtype), path).tolist() == [[0, 255, 1, 2, 255]]


def test_colours_that_are_no_class_are_said(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("road 128 64 128\ncar 0 0 142\n")
    labels = read_classes(tmp_path / "classes.txt")
    save(np.tile(np.array([128, 64, 128], np.uint8), (40, 40, 1)), tmp_path / "m.png")
    assert not labels.class_map(read_stored_mask(tmp_path / "m.png").values, tmp_path / "m.png").any()
    with pytest.raises(InputError, match=r"m.png: colour 1 2 3 \(1 in all\) is not in classes.txt"):
        labels.class_map(np.tile(np.array([1, 2, 3], np.uint8), (4, 4, 1)), tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m.png: a mask of colours has 8 bits a channel, this one is uint16"):
        labels.class_map(np.zeros((4, 4, 3), np.uint16), tmp_path / "m.png")
