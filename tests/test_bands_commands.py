"""Commands on a finished model of four bands: predict, the demo, and those that need a camera."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import compress.android
import compress.demo
import compress.predict
from compress.apps.demo import build
from compress.data.pixels import Pixels
from compress.prediction.card import read_card
from compress.stages.export import channels_of
from compress.tflite.writer import random_weight_model
from search_spaces import get_space, graph_of
from search_spaces.trials import SmallestTrial


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file of random weights for four bands, and its card."""
    folder = tmp_path_factory.mktemp("model")
    genotype = get_space("lraspp", 4).sample(SmallestTrial(), 3, (64, 64))
    (folder / "model.tflite").write_bytes(random_weight_model(graph_of(genotype)))
    pixels = Pixels("uint16", (3, 2, 1, 0), ((0.0, 3000.0),) * 4, ("nir", "red", "green", "blue"))
    card = {
        "input": {"shape": [1, *genotype.resolution, 4], "bands": pixels.to_dict(), "channels": channels_of(pixels)},
        "classes": ["a", "b", "c"],
        "colours": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
    }
    (folder / "model.json").write_text(json.dumps(card))
    return folder / "model.tflite"


class TestPredict:
    @pytest.fixture
    def scene(self, tmp_path: Path) -> Path:
        values = np.zeros((80, 100, 5), np.uint16)
        values[..., :4] = 200, 600, 1500, 2900  # blue, green, red, near infrared
        tifffile.imwrite(tmp_path / "s.tif", values, photometric="minisblack", planarconfig="contig")
        return tmp_path / "s.tif"

    @pytest.mark.parametrize(("flags", "shown"), [((), (1500, 600, 200)), (("nir,red,green",), (2900, 1500, 600))])
    def test_a_tiff_of_many_bands(self, model: Path, scene: Path, tmp_path: Path, command, flags, shown) -> None:
        more = ("--show-bands", *flags) if flags else ()
        code, out, err = command(compress.predict.main, model, scene, "--out", tmp_path / "o", *more)
        assert code == 0, err
        line = json.loads(out)
        assert (line["height"], line["width"]) == (80, 100)
        class_map = np.asarray(Image.open(line["mask"]))[-1, -1]
        colour = np.eye(3)[class_map] * 255
        expected = 0.45 * np.floor(255 * np.array(shown) / 3000 + 0.5) + 0.55 * colour
        np.testing.assert_allclose(np.asarray(Image.open(line["overlay"]))[-1, -1], expected, atol=1)

    def test_what_it_cannot_take_is_one_line(self, model: Path, scene: Path, tmp_path: Path, command) -> None:
        tifffile.imwrite(tmp_path / "few.tif", np.ones((40, 40, 3), np.uint16), photometric="rgb")
        for arguments, said in (
            ((tmp_path / "few.tif",), "few.tif: band 4 is asked for, there are 3"),
            ((scene, "--show-bands", "swir"), "--show-bands swir: "),
        ):
            code, _, err = command(compress.predict.main, model, *arguments, "--out", tmp_path / "o")
            assert code == 2
            assert said in err
            assert "Traceback" not in err


class TestApps:
    def test_the_demo_brings_images_along(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command
    ) -> None:
        (tmp_path / "vendor").mkdir()
        monkeypatch.setattr(build, "runtime_folder", lambda: tmp_path / "vendor")
        values = np.zeros((64, 64, 4), np.uint16)
        values[..., :] = 300, 600, 1500, 2990
        tifffile.imwrite(tmp_path / "s.tif", values, photometric="minisblack", planarconfig="contig")
        flags = ("--images", tmp_path / "s.tif", "--show-bands", "nir,red,green", "--out", tmp_path / "demo")
        code, _, err = command(compress.demo.main, model, *flags)
        assert code == 0, err
        (sample,) = json.loads((tmp_path / "demo" / "samples.json").read_text())
        assert sample["name"] == "s.tif"
        card = read_card(model.with_name("model.json"))
        fed = np.frombuffer((tmp_path / "demo" / sample["pixels"]).read_bytes(), np.uint8)
        assert fed.reshape(*card.resolution, 4)[0, 0].tolist() == [254, 128, 51, 26]
        assert np.asarray(Image.open(tmp_path / "demo" / sample["picture"]))[0, 0].tolist() == [254, 128, 51]

    def test_what_needs_a_camera_says_so_in_a_line(self, model: Path, tmp_path: Path, command) -> None:
        for main in (compress.demo.main, compress.android.main):
            code, _, err = command(main, model, "--out", tmp_path / "app")
            assert (code, err.count("\n")) == (2, 1)
            assert "gives pictures of 3 bands, this model takes 4" in err
            assert not (tmp_path / "app").exists()
