"""The Core ML packages: converted for real, run on Linux by the interpreter of their programs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import every_tap

import compress.ios
from compress.apps.ios.build import IN_FLOAT, build_ios, check_package, float_class_map, swift_string
from compress.apps.ios.mil import MilProgram
from compress.apps.ios.packages import FLOAT16, INT8, INT8_WEIGHTS, import_coremltools
from compress.files.tensors import load_network
from compress.prediction.segmenter import open_segmenter
from compress.tflite.qdq_network import QDQNetwork
from compress.tflite.ranges import observe_ranges
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

SHIPPED = Path(__file__).parent.parent / "runs" / "camvid"


def street() -> np.ndarray:
    """Sky above, road below."""
    rows = np.linspace(0, 1, 360)[:, None, None]
    picture = np.array([200, 215, 235]) * (1 - rows) + np.array([70, 70, 75]) * rows
    noise = np.random.default_rng(0).integers(-12, 12, (360, 480, 3))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("coremltools")
    out = tmp_path_factory.mktemp("ios") / "ios"
    network = load_network(SHIPPED / "network.pt")
    images = torch.from_numpy(street().transpose(2, 0, 1)[None]).float() / 255
    build_ios(
        network, QDQNetwork(network, observe_ranges(network, [images])).eval(), open_segmenter(SHIPPED), [street()], out
    )
    return out


@pytest.mark.slow
def test_every_package_gives_the_classes_of_what_it_was_made_from(packages: Path) -> None:
    segmenter, network = open_segmenter(SHIPPED), load_network(SHIPPED / "network.pt")
    in_int8, in_float = segmenter.small_class_map(street()), float_class_map(network, street())
    expected = {FLOAT16: in_float, INT8_WEIGHTS: in_float, INT8: in_int8}
    checked = {name: check_package(packages / name, [street()], [one], "it") for name, one in expected.items()}
    assert all(package.agreement >= 0.98 for package in checked.values())
    sizes = [package.size_bytes for package in checked.values()]
    assert sizes[0] > sizes[2] > sizes[1]
    assert len(np.unique(segmenter.small_class_map(street()))) > 1  # else any program would agree


@pytest.mark.slow
def test_the_package_takes_a_picture_and_names_its_classes(packages: Path) -> None:
    coremltools = import_coremltools()
    spec = coremltools.models.MLModel(str(packages / FLOAT16), skip_model_load=True).get_spec()
    (given,), (made,) = spec.description.input, spec.description.output
    assert (given.type.imageType.width, given.type.imageType.height) == (480, 360)
    assert (given.name, made.name) == ("image", "classes")
    said = spec.description.metadata.userDefined
    assert said["com.apple.coreml.model.preview.type"] == "imageSegmenter"
    card = json.loads((SHIPPED / "model.json").read_text())
    assert json.loads(said["com.apple.coreml.model.preview.parameters"])["labels"] == card["classes"]


@pytest.mark.slow
def test_a_package_that_disagrees_is_refused(packages: Path) -> None:
    other = np.full((360, 480), 3, np.uint8)
    with pytest.raises(InputError, match=r"model\.mlpackage: agrees with the float network on 0\."):
        check_package(packages / FLOAT16, [street()], [other], IN_FLOAT)


@pytest.mark.slow
def test_an_op_that_is_not_known_is_named(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("compress.apps.ios.mil", fromlist=["MIL_OPS"]).MIL_OPS, "concat")
    with pytest.raises(InputError, match="has an op concat that cannot be checked here"):
        MilProgram(packages / FLOAT16).class_map(street())


@pytest.mark.slow
def test_the_sample_names_the_classes(packages: Path) -> None:
    swift = (packages / "sample" / "Classes.swift").read_text()
    card = json.loads((SHIPPED / "model.json").read_text())
    for name, (red, green, blue) in zip(card["classes"], card["colours"], strict=True):
        assert f'SegmentationClass(name: "{name}", red: {red}, green: {green}, blue: {blue}),' in swift
    for path in (packages / "sample").glob("*.swift"):
        text = path.read_text()
        assert "@CLASSES@" not in text
        assert text.count("{") == text.count("}")
        assert text.count("(") == text.count(")")


def test_texts_become_swift_strings() -> None:
    assert swift_string('a "b" \\ é\n') == '"a \\"b\\" \\\\ é\\u{a}"'


def test_quantized_network_is_near_the_float_one(tiny: Genotype) -> None:
    """The classes of a network with quantize ops are nearly those of the network itself, its logits not quite."""
    torch.manual_seed(0)
    network = every_tap(Network(tiny)).eval()
    images = torch.rand(2, 3, *tiny.resolution)
    quantized = QDQNetwork(network, observe_ranges(network, [images])).eval()
    with torch.inference_mode():
        logits, found = network(images), quantized(images)
    error = (found - logits).square().mean() / (logits - logits.mean()).square().mean()
    assert 0 < error < 0.05


def test_bad_input_is_one_line(tmp_path: Path, command) -> None:
    for flags, says in (([tmp_path / "none"], "there is no such run folder"), ([SHIPPED, "--images", 0], "--images 0")):
        code, _, err = command(compress.ios.main, *flags)
        assert code == 2
        assert says in err
        assert len(err.strip().splitlines()) == 1
