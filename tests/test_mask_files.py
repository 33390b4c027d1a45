"""What a mask file says is what its classes are, or the file is refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from made_data import save, voc
from PIL import Image

from compress.data.check import check
from compress.data.classes_file import read_classes
from compress.data.dataset import IGNORE, open_data, read_pair
from compress.data.formats import StoredMask, read_stored_mask
from compress.data.labels import Labels
from search_spaces.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("elsewhere")

TRUTH = np.kron(np.random.default_rng(0).integers(0, 3, (5, 6)), np.ones((8, 8))).astype(np.uint8)
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
NAMED = "background 0 0 0\nred 255 0 0\ngreen 0 255 0\n"


def flat(root: Path, *masks: Callable[[Path], None], classes: str = "") -> str:
    """A data set with one mask for each function that writes one."""
    for i, write in enumerate(masks):
        save(np.random.default_rng(i).integers(0, 256, (*TRUTH.shape, 3)).astype(np.uint8), root / f"images/{i}.png")
        (root / "masks").mkdir(exist_ok=True)
        write(root / f"masks/{i}.png")
    if classes:
        (root / "classes.txt").write_text(classes)
    return f"folder:{root}"


def indexed(order: list[int], colours: np.ndarray = COLOURS, truth: np.ndarray = TRUTH) -> Callable[[Path], None]:
    """Writes a mask whose palette has the colours in this order; pixels keep their colours."""

    def write(path: Path) -> None:
        picture = Image.fromarray(np.argsort(order).astype(np.uint8)[truth])
        picture.putpalette(colours[order].ravel().tolist())
        picture.save(path)

    return write


def grey(values: list[int]) -> Callable[[Path], None]:
    """Writes a mask with these values for the classes."""
    return lambda path: save(np.array(values, np.uint8)[TRUTH], path)


def labels(tmp_path: Path, text: str) -> Labels:
    (tmp_path / "classes.txt").write_text(text)
    return read_classes(tmp_path / "classes.txt")


def decoded(tmp_path: Path, write: Callable[[Path], None], text: str) -> np.ndarray:
    write(tmp_path / "m.png")
    return labels(tmp_path, text).decode(read_stored_mask(tmp_path / "m.png"), tmp_path / "m.png")


class TestPalettes:
    @given(st.permutations([0, 1, 2]))
    def test_colours_of_classes_decide_not_the_order_of_the_palette(
        self, tmp_path_factory: pytest.TempPathFactory, order: list[int]
    ) -> None:
        folder = tmp_path_factory.mktemp("palette")
        np.testing.assert_array_equal(decoded(folder, indexed(order), NAMED), TRUTH)

    def test_files_with_orders_of_their_own_are_one_data_set(self, tmp_path: Path) -> None:
        orders = [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0], [0, 2, 1]]
        data = open_data(flat(tmp_path, *map(indexed, orders), classes=NAMED))
        check(data)
        assert all((read_pair(pair, data)[1] == TRUTH).all() for pair in (*data.train, *data.val))

    @pytest.mark.parametrize("classes", ["", "background\nred\ngreen\n"])
    def test_orders_that_differ_need_the_colours_of_classes(self, tmp_path: Path, classes: str) -> None:
        spec = flat(tmp_path, indexed([0, 1, 2]), indexed([0, 2, 1]), indexed([0, 1, 2]), classes=classes)
        with pytest.raises(InputError, match=r"masks/\d.png: its palette shows index 1 as .* give the colour of each"):
            open_data(spec)

    @pytest.mark.parametrize("classes", ["", "background\nred\ngreen\n"])
    def test_one_palette_for_all_means_indices(self, tmp_path: Path, classes: str) -> None:
        data = open_data(flat(tmp_path, *[indexed([0, 1, 2], COLOURS[::-1])] * 4, classes=classes))
        assert all((read_pair(pair, data)[1] == TRUTH).all() for pair in data.train)

    def test_a_colour_that_is_no_class_is_a_conflict(self, tmp_path: Path) -> None:
        other = np.array([[0, 0, 0], [255, 0, 0], [9, 9, 9]], np.uint8)
        with pytest.raises(InputError, match=r"m.png: its palette shows index 2 as colour 9 9 9, which is not in"):
            decoded(tmp_path, indexed([0, 1, 2], other), NAMED)

    def test_the_void_index_needs_no_colour_where_indices_and_colours_agree(self, tmp_path: Path) -> None:
        palette = np.zeros((256, 3), np.uint8)
        palette[:3], palette[255] = COLOURS, (224, 224, 192)
        truth = TRUTH.copy()
        truth[:2] = IGNORE
        write = indexed(list(range(256)), palette, truth)
        np.testing.assert_array_equal(decoded(tmp_path, write, NAMED), truth)
        swapped = "background 0 0 0\ngreen 0 255 0\nred 255 0 0\n"
        with pytest.raises(InputError, match="its palette shows index 255 as colour 224 224 192"):
            decoded(tmp_path, write, swapped)

    def test_a_grey_palette_out_of_order_is_a_conflict(self, tmp_path: Path) -> None:
        """Optimizers of PNG files store a grey mask so."""
        shades = np.array([[0, 0, 0], [2, 2, 2], [1, 1, 1]], np.uint8)
        with pytest.raises(InputError, match=r"index 1 as the shade 2, and both are classes; save the mask as grey"):
            decoded(tmp_path, indexed([0, 1, 2], shades), "a\nb\nc\n")

    def test_voc_masks_saved_as_rgb_are_read_with_their_border(self, tmp_path: Path) -> None:
        made = voc(tmp_path)
        data = open_data(made.spec)
        colours = np.zeros((256, 3), np.uint8)
        colours[:21], colours[IGNORE] = data.colours, (224, 224, 192)
        for example in (*made.train, *made.val):
            save(colours[example.truth], example.mask)
        for example, pair in zip(made.train, data.train, strict=True):
            np.testing.assert_array_equal(read_pair(pair, data)[1], example.truth)


class TestShades:
    def test_shades_without_names_are_refused_and_proposed(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            open_data(flat(tmp_path, *[grey([0, 128, 255])] * 3))
        said = str(caught.value)
        share = (TRUTH == 1).mean()
        assert f"3 values with gaps, most pixels 0 ({(TRUTH == 0).mean():.0%}), 128 ({share:.0%}), 255" in said
        assert "write 'class0 0 0 0', 'class1 128 128 128', 'class2 255 255 255'" in said

    def test_a_mask_that_was_a_jpeg_is_refused(self, tmp_path: Path) -> None:
        def write(path: Path) -> None:
            save(np.array([0, 255, 255], np.uint8)[np.roll(TRUTH, 3, (0, 1))], path.with_suffix(".jpg"))
            Image.open(path.with_suffix(".jpg")).save(path)
            path.with_suffix(".jpg").unlink()

        with pytest.raises(InputError, match=r"values with gaps, .* other values look like noise of JPEG"):
            open_data(flat(tmp_path, *[write] * 3))

    @pytest.mark.parametrize("name", ["m.png", "m.tif"])
    def test_jpeg_content_is_no_mask_whatever_its_name(self, tmp_path: Path, name: str) -> None:
        kind = "JPEG" if name == "m.png" else "TIFF"
        Image.fromarray(TRUTH).save(tmp_path / name, kind, **({} if kind == "JPEG" else {"compression": "jpeg"}))
        with pytest.raises(InputError, match=r"JPEG may change values; make the mask anew and save it as PNG"):
            read_stored_mask(tmp_path / name)

    def test_few_bits_are_indices_or_shades_as_the_classes_say(self, tmp_path: Path) -> None:
        stored = StoredMask(TRUTH % 2, bits=1)
        indices = labels(tmp_path, "a\nb\n").decode(stored, tmp_path / "m.png")
        shades = labels(tmp_path, "b 255 255 255\na 0 0 0\n").decode(stored, tmp_path / "m.png")
        np.testing.assert_array_equal(indices, TRUTH % 2)
        np.testing.assert_array_equal(shades, 1 - TRUTH % 2)

    def test_zero_as_white_says_nothing_of_indices_and_contradicts_shades(self, tmp_path: Path) -> None:
        stored = StoredMask(TRUTH % 2, bits=1, white_is_zero=True)
        np.testing.assert_array_equal(labels(tmp_path, "a\nb\n").decode(stored, tmp_path / "m.png"), TRUTH % 2)
        with pytest.raises(InputError, match=r"zero is white, and classes.txt has shades"):
            labels(tmp_path, "a 0 0 0\nb 255 255 255\n").decode(stored, tmp_path / "m.png")


class TestNodata:
    def write(self, value: int) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            values = TRUTH.astype(np.int16)
            values[:3] = value
            tags = [(42113, "s", 0, str(value), True)]
            tifffile.imwrite(path.with_suffix(".tif"), values, photometric="minisblack", extratags=tags)

        return write

    @pytest.mark.parametrize("classes", ["", "a\nb\nc\n"])
    def test_nodata_is_void(self, tmp_path: Path, classes: str) -> None:
        data = open_data(flat(tmp_path, *[self.write(-9999)] * 3, classes=classes))
        check(data)
        mask = read_pair(data.train[0], data)[1]
        assert (mask[:3] == IGNORE).all()
        np.testing.assert_array_equal(mask[3:], TRUTH[3:])

    def test_a_class_that_is_nodata_is_a_conflict(self, tmp_path: Path) -> None:
        data = open_data(flat(tmp_path, *[self.write(0)] * 3, classes="a\nb\nc\n"))
        with pytest.raises(DataError, match="0 is its nodata value and also class a; remove the nodata value"):
            check(data)
