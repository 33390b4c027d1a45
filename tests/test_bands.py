"""Images of other bands than red, green and blue: what bands.txt says reaches every part that reads pixels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from band_data import BANDS, write_bands
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_donors import made, timm

import compress.check
from compress.data.area import shrunk
from compress.data.augmentation import AUGMENTS, augmentation
from compress.data.bands_file import Bands, read_bands_file
from compress.data.crops import Crops
from compress.data.dataset import open_data
from compress.data.pixels import Pixels, find_pixels
from compress.data.shown_bands import picture, shown_channels
from compress.data.validation import read_validation
from compress.donors.loading import donor_network, recognise_donor
from compress.latency import op_plan
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import Calibration, LatencyTable
from compress.latency.targets import HostTarget
from compress.latency.transfer import check_same_networks
from compress.stages.shipped_files import SHIPPED, shipped_files
from compress.tflite.writer import INT8
from nas.supernet import Supernet, extract
from search_spaces import get_space, graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.ops import INPUT
from search_spaces.trials import SmallestTrial

BYTE = (0.0, 255.0)
NAMED = ("blue", "nir", "green", "red")


def pixels_of(count: int, *names: str) -> Pixels:
    return Pixels("uint8", tuple(range(count)), (BYTE,) * count, names)


class TestBandsFile:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("# bands of Sentinel-2\n2 blue\n8 nir 0 4000\n", Bands((1, 7), (None, (0, 4000)), ("blue", "nir"))),
            ("4 0 3000\n3 0 3000\n", Bands((3, 2), ((0, 3000), (0, 3000)))),
            ("1 bone 0 900\n1 soft -160 240\n", Bands((0, 0), ((0, 900), (-160, 240)), ("bone", "soft"))),
            ("1 ct -160 240\n", Bands((0, 0, 0), ((-160, 240),) * 3)),
            ("2\n2\n2\n", Bands((1, 1, 1), (None,) * 3)),
            ("\n".join(map(str, range(1, 17))), Bands(tuple(range(16)), (None,) * 16)),
        ],
    )
    def test_a_line_is_a_channel(self, tmp_path: Path, text: str, said: Bands) -> None:
        path = tmp_path / "bands.txt"
        path.write_text(text)
        assert read_bands_file(path) == said

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("\n".join(map(str, range(1, 18))), "17 lines; give one for each channel, 1 to 16"),
            ("# nothing\n", "0 lines"),
            ("1\n2\n1\n", "lines 1 and 3 are the same band 1; leave one of them out, or give them different ranges"),
            ("1 nir\n2 NIR\n", "the name nir is there twice"),
            ("1 nir\n2\n", "band 2 has no name, others have; name all bands or none"),
            ("nir 4\n", "nir 4: give BAND"),
            ("1 near infrared\n", "give BAND"),
            ("1.5 nir\n", "give BAND"),
        ],
    )
    def test_a_wrong_file_is_one_line(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "bands.txt"
        path.write_text(text)
        with pytest.raises(InputError, match=said) as caught:
            read_bands_file(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_band_beyond_those_of_a_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"x.tif: band 5 is asked for, there are 4; say in bands.txt"):
            pixels_of(5).to_bytes(np.zeros((2, 2, 4), np.uint8), tmp_path / "x.tif")


class TestPixels:
    def test_names_say_which_bands_are_colours(self) -> None:
        assert pixels_of(4, *NAMED).colours == (2, None, 1, 0)
        assert pixels_of(4, *NAMED).visible == (3, 2, 0)
        assert pixels_of(3, "nir", "Red", "GREEN").colours == (None, 0, 1)
        assert pixels_of(3, "nir", "Red", "GREEN").visible is None
        assert pixels_of(4).colours == pixels_of(4, "t1", "t2", "flair", "dwi").colours == (0, 1, 2, None)
        assert pixels_of(2).colours == (None, None)

    @given(st.integers(1, 16), st.booleans())
    def test_the_card_keeps_them(self, count: int, named: bool) -> None:
        pixels = pixels_of(count, *(f"b{i}" for i in range(count) if named))
        assert Pixels.from_dict(json.loads(json.dumps(pixels.to_dict()))) == pixels

    @pytest.mark.parametrize(
        "wrong", [{"bands": []}, {"bands": list(range(1, 18))}, {"names": ["a"]}, {"ranges": [[0, 255]] * 5}]
    )
    def test_a_card_of_another_form_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="bands"):
            Pixels.from_dict({**pixels_of(4).to_dict(), **wrong})

    def test_each_band_is_stretched_over_its_own_percentiles(self, tmp_path: Path, elsewhere: Path) -> None:
        rows, columns = np.mgrid[:40, :50]
        values = np.stack([(rows * 40 + columns * 3) * (c + 1) for c in range(7)], -1).astype(np.uint16)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
        (tmp_path / "bands.txt").write_text("".join(f"{band}\n" for band in range(1, 8)))
        pixels = find_pixels([tmp_path / "a.tif"], tmp_path / "bands.txt")
        low, high = np.percentile(values.reshape(-1, 7), (1, 99), axis=0)
        np.testing.assert_allclose(np.array(pixels.ranges), np.stack([low, high], 1))
        made_bytes = pixels.to_bytes(values, tmp_path / "a.tif")
        assert made_bytes.shape == (40, 50, 7)
        assert np.ptp(made_bytes.reshape(-1, 7).astype(int) - made_bytes[..., :1].reshape(-1, 1), axis=0).max() <= 1

    def test_names_are_a_part_of_the_fingerprint(self, tmp_path: Path, elsewhere) -> None:
        root = write_bands(tmp_path / "d", 4)
        named = open_data(f"folder:{root}").fingerprint
        (root / "bands.txt").write_text("1\n2\n3\n4\n")
        assert open_data(f"folder:{root}").fingerprint != named


class TestPictures:
    @pytest.mark.parametrize(
        ("pixels", "asked", "shown"),
        [
            (pixels_of(3), None, (0, 1, 2)),
            (pixels_of(4, *NAMED), None, (3, 2, 0)),
            (pixels_of(7), None, (0, 1, 2)),
            (pixels_of(2), None, (0, 1, 1)),
            (pixels_of(4, *NAMED), "nir,Red,green", (1, 3, 2)),
            (pixels_of(4, *NAMED), " 2, 4,3", (1, 3, 2)),
            (pixels_of(4, *NAMED), "nir", (1, 1, 1)),
        ],
    )
    def test_three_bands_are_shown(self, pixels: Pixels, asked: str | None, shown: tuple[int, int, int]) -> None:
        assert shown_channels(pixels, asked) == shown
        image = np.random.default_rng(0).integers(0, 256, (5, 6, len(pixels.bands)), np.uint8)
        assert np.array_equal(picture(image, shown), np.stack([image[..., channel] for channel in shown], -1))

    @pytest.mark.parametrize("asked", ["swir,red,green", "5,1,2", "red,green", "", "1,2,3,4"])
    def test_bands_that_are_not_there_are_one_line(self, asked: str) -> None:
        with pytest.raises(InputError, match=rf"--show-bands {asked}: .*red"):
            shown_channels(pixels_of(4, *NAMED), asked)

    @pytest.mark.parametrize("bands", [1, 3, 4, 5, 8, 16])
    def test_images_shrink_band_by_band(self, bands: int) -> None:
        image = np.random.default_rng(0).integers(0, 256, (90, 120, bands), np.uint8)
        small = np.atleast_3d(shrunk(image, (50, 40)))
        alone = [shrunk(np.ascontiguousarray(image[..., i : i + 1]), (50, 40)) for i in range(bands)]
        assert np.array_equal(small, np.stack([one.reshape(40, 50) for one in alone], -1))


class TestAugmentation:
    @pytest.mark.parametrize("bands", [2, 4, 16])
    @pytest.mark.parametrize("name", AUGMENTS)
    def test_all_of_them_take_any_bands(self, name: str, bands: int) -> None:
        vary = augmentation(32, (0.3, 0.9), 1.0, name, pixels_of(bands).colours)
        vary.set_random_seed(1)
        image = np.random.default_rng(0).integers(0, 256, (48, 64, bands), np.uint8)
        out = vary(image=image, mask=np.zeros((48, 64), np.uint8))
        assert out["image"].shape == (32, 32, bands)
        assert out["image"].dtype == np.uint8

    def test_hue_changes_red_green_and_blue_alone(self) -> None:
        flat = np.full((48, 64, 4), (40, 120, 90, 200), np.uint8)
        vary = augmentation(32, (0.9, 1.0), 1.0, "road", pixels_of(4, *NAMED).colours)
        seen = set()
        for seed in range(8):
            vary.set_random_seed(seed)
            seen.add(tuple(vary(image=flat, mask=np.zeros((48, 64), np.uint8))["image"][0, 0].tolist()))
        assert {values[1] for values in seen} == {120}
        assert all(len({values[c] for values in seen}) > 2 for c in (0, 2, 3))


@pytest.fixture(scope="module")
def donor():
    return recognise_donor(made("efficientnet_lite0", timm, 0.25), "here")


class TestStem:
    """The stem of a donor for other bands: the three visible ones keep their weights."""

    def test_without_its_other_bands_it_is_the_donor(self, donor) -> None:
        torch.manual_seed(0)
        plain = donor_network(donor, 3, (64, 64)).eval()
        wide = donor_network(donor, 3, (64, 64), colours=pixels_of(4, *NAMED).colours).eval()
        head = {name: value for name, value in plain.state_dict().items() if "stem.conv" not in name}
        wide.load_state_dict(head, strict=False)
        images = torch.rand(2, 4, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(wide(images), plain(images[:, [3, 2, 0]]), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("names", [(), NAMED, ("nir", "swir", "red", "vv")])
    def test_other_bands_start_from_zero_or_else_from_the_mean(self, donor, names: tuple[str, ...]) -> None:
        pixels = pixels_of(4, *names)
        stems = [
            donor_network(donor, 3, (64, 64), colours=colours).layers["stem"].conv.weight
            for colours in ((0, 1, 2), pixels.colours)
        ]
        for channel, colour in enumerate(pixels.colours):
            rest = torch.zeros_like(stems[0][:, 0]) if pixels.visible else stems[0].mean(1)
            expected = rest if colour is None else stems[0][:, colour]
            torch.testing.assert_close(stems[1][:, channel], expected)


class TestNetworks:
    def test_three_bands_leave_a_genotype_as_it_was(self, tiny: Genotype) -> None:
        assert "bands" not in tiny.to_dict()
        wide = replace(tiny, bands=7)
        assert Genotype.from_dict(wide.to_dict()) == wide
        assert wide.id != tiny.id
        assert graph_of(wide)[0].in_shapes == ((64, 96, 7),)
        assert graph_of(wide)[1:] == graph_of(tiny)[1:]
        for wrong in (0, 17, 4.0, True):
            with pytest.raises(InputError, match="bands must be 1 to 16"):
                replace(tiny, bands=wrong)

    def test_a_subnet_is_the_supernets_slice(self) -> None:
        space = get_space("deeplabv3plus", 4)
        subnet = space.sample(SmallestTrial(), 3, (64, 64))
        assert subnet.bands == space.bands == 4
        supernet = Supernet(
            replace(subnet, stem=16, stages=(replace(subnet.stages[0], hidden=(16,)), *subnet.stages[1:]))
        )
        images = torch.rand(2, 4, *subnet.resolution)
        supernet.eval()
        with torch.no_grad():
            torch.testing.assert_close(supernet(images, subnet), extract(supernet, subnet)(images))

    @pytest.mark.parametrize("bands", [4, 16])
    def test_the_latency_table_measures_the_stem_of_these_bands(
        self, bands: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(op_plan, "WIDEST_DRAWS", 20)
        monkeypatch.setattr(op_plan, "RANDOM_DRAWS", 20)
        space = get_space("lraspp", bands)
        stems = [
            op for ops in op_plan.plan_ops(TableSpec(space, 3, (64, 64), INT8, HostTarget())).values() for op in ops
        ]
        stems = [op for op in stems if op.inputs == (INPUT,)]
        assert bands in {op.in_shapes[0][2] for op in stems}
        assert {op.in_shapes[0][2] for op in stems} <= {bands, 8}

    def test_a_table_of_other_bands_is_refused(self, tmp_path: Path) -> None:
        specs = {bands: TableSpec(get_space("lraspp", bands), 3, (64, 64), INT8, HostTarget()) for bands in (3, 4)}
        assert len({spec.path(tmp_path) for spec in specs.values()}) == 2
        zeros = dict.fromkeys(("intercept", "conv", "depthwise", "other"), 0.0)
        for made_for, asked in ((3, 4), (4, 3)):
            table = LatencyTable(specs[made_for].made_for(), {}, zeros, {}, Calibration(1.0, 1.0), {})
            (tmp_path / "t.json").write_text(table.to_json())
            load_table(tmp_path / "t.json", specs[made_for])
            with pytest.raises(InputError, match=rf"made for bands {made_for}, not {asked}; build one with") as caught:
                load_table(tmp_path / "t.json", specs[asked])
            assert ("--bands 4" in str(caught.value)) == (asked == 4)

    def test_mediapipe_takes_three_bands(self) -> None:
        assert shipped_files(3) == SHIPPED
        assert set(SHIPPED) - set(shipped_files(4)) == {"model.mediapipe.tflite"}


@pytest.mark.parametrize("bands", [2, 4, 7])
def test_crops_validation_and_preview(bands: int, tmp_path: Path, elsewhere: Path, command) -> None:
    root = write_bands(tmp_path / "d", bands)
    data = open_data(f"folder:{root}")
    image, mask = Crops(data, (64, 64), 32, 4, 0, "road", "rare")[1]
    assert (image.shape, mask.shape) == ((bands, 32, 32), (32, 32))
    assert read_validation(data, (48, 64)).images.shape == (2, bands, 48, 64)
    flags = (f"folder:{root}", "--input-size", 64, "--preview", tmp_path / "p.png")
    code, out, err = command(compress.check.main, *flags, "--show-bands", BANDS[bands - 1])
    assert code == 0, err
    assert f"{bands} {BANDS[bands - 1]} of uint16, stretched from" in out
    assert Image.open(tmp_path / "p.png").size[0] > 100
    code, _, err = command(compress.check.main, *flags, "--show-bands", "moon")
    assert (code, err.count("\n")) == (2, 1)


def test_the_check_says_that_bands_are_not_used(tmp_path: Path, elsewhere: Path, command) -> None:
    root = write_bands(tmp_path / "d", 5)
    (root / "bands.txt").unlink()
    code, out, _ = command(compress.check.main, f"folder:{root}")
    assert code == 0
    assert "bands: 1, 2, 3 of 5 (bands.txt may name up to 16) of uint16" in out


def test_a_table_of_other_bands_is_not_transferred(tmp_path: Path) -> None:
    specs = {bands: TableSpec(get_space("lraspp", bands), 3, (64, 64), INT8, HostTarget()) for bands in (3, 4)}
    zeros = dict.fromkeys(("intercept", "conv", "depthwise", "other"), 0.0)
    for made_for, asked in ((3, 4), (4, 3)):
        table = LatencyTable(specs[made_for].made_for(), {}, zeros, {}, Calibration(1.0, 1.0), {})
        check_same_networks(specs[made_for], table, tmp_path)
        with pytest.raises(InputError, match=rf"made for bands {made_for}, not {asked}"):
            check_same_networks(specs[asked], table, tmp_path)
