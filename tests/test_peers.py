"""benchmarks/peers: the registry, and one peer through the whole command. Networks of packages that the project does
not need are built where they are installed (`make peers`)."""

import json
from pathlib import Path

import peers
import pytest
import torch
from commands import Command
from donors import start_from
from realtime import pooled
from run import main
from shipping import Deployed
from torch import Tensor, nn
from torch.nn import functional as F

from compress.donors.loading import load_donor
from compress.donors.source import initial_weights_source
from compress.files.records import read_json

CLASSES = 5
OWN = ("fastscnn", "bisenetv2", "ppliteseg")


@pytest.mark.parametrize("key", peers.FAMILIES)
def test_every_peer_gives_logits_of_a_whole_stride_and_widths_grow(key: str) -> None:
    if key not in OWN:
        pytest.importorskip("segmentation_models_pytorch")
    names = [name for name in peers.PEERS if name.rpartition("_")[0] == key]
    networks = [peers.build(name, CLASSES).eval() for name in (names[0], names[-1])]
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert sizes[0] < sizes[1] or len(names) == 1
    with torch.inference_mode():
        logits = networks[0](torch.rand(1, 3, 64, 96))
    stride = 64 // logits.shape[2]
    assert logits.shape == (1, CLASSES, 64 // stride, 96 // stride)


@pytest.mark.parametrize(
    ("name", "model", "shift"),
    [("mobilenet_v2", "mobilenetv2_100", 1), ("efficientnet_lite0", "tf_efficientnet_lite0", 0)],
)
def test_an_encoder_starts_as_the_donor(name: str, model: str, shift: int) -> None:
    """Both take images in 0..1. Pixels near the border are left out, because padding differs.

    timm's MobileNetV2 pads evenly at stride 2, ours after the image. So it sees what ours sees one pixel later.
    """
    encoder = pytest.importorskip("timm").create_model(model, features_only=True, out_indices=[0])
    start_from(encoder, name)
    source = initial_weights_source(name)
    assert source is not None
    stem, *block = list(load_donor(source, CLASSES, (64, 64)).eval().layers.values())[:3]
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        (features,) = encoder.eval()(images.roll((-shift, -shift), (2, 3)))
        x = stem(images)
        for layer in block:
            x = layer(x)
    torch.testing.assert_close(features[..., 4:-4, 4:-4], x[..., 4:-4, 4:-4], rtol=1e-3, atol=1e-3)


def test_pooling_in_equal_windows_is_adaptive_pooling_where_bins_divide() -> None:
    x = torch.rand(2, 3, 12, 24)
    for bins in (1, 2, 3, 4, 6):
        torch.testing.assert_close(pooled(x, bins), F.adaptive_avg_pool2d(x, bins))
    assert pooled(x, 5).shape[2:] == (5, 5)


class Striding(nn.Module):
    """The mean of every 8 pixels a side, as two classes."""

    def forward(self, images: Tensor) -> Tensor:
        mean = F.avg_pool2d(images, 8).mean(1, keepdim=True)
        return torch.cat([mean, 1 - mean], 1)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_class_map_covers_an_image_whose_sides_no_divisor_divides(stride: int) -> None:
    pixels = torch.zeros(1, 40, 80, 3)
    pixels[:, :, 40:] = 1
    class_map = Deployed(Striding(), 16, stride)(pixels)[0]
    assert class_map.shape == (40 // stride, 80 // stride)
    assert (class_map[:, : 32 // stride] == 1).all()
    assert (class_map[:, 48 // stride :] == 0).all()


@pytest.mark.slow
def test_a_peer_is_trained_shipped_and_measured_beside_a_search(
    whole: Path, folder_data: Path, tmp_path: Path, command: Command
) -> None:
    asked = ["--work", tmp_path, "--data", f"folder:{folder_data}", "--input-size", 64, "--preset", "toy"]
    asked += ["--steps", 3, "--seeds", 1, "--peers", "fastscnn_050"]
    code, out, err = command(main, *asked)
    assert code == 0, err
    shipped = read_json(tmp_path / "seed-0" / "fastscnn_050" / "shipped.json", "")
    assert all(not file["float_ops"] and 0 <= file["miou"] <= 1 for file in shipped["files"].values())
    code, out, err = command(main, *asked, "--measure", "--runs", whole)
    assert code == 0, err
    assert out.count("| `fastscnn_050` |") == 2
    assert out.count("| **SlimLab** |") == 1
    assert (tmp_path / "peers.png").stat().st_size > 0
    assert (tmp_path / "peers.md").read_text() in out
    benefit = tmp_path / "benefit"
    searched = benefit / "seed-0" / "searched-9"
    searched.mkdir(parents=True)
    (searched / "moving-average.tflite").write_bytes((whole / "model.tflite").read_bytes())
    (searched / "shipped.json").write_text(json.dumps({"int8": {"moving-average": {"miou": 0.25}}}))
    (benefit / "asked.json").write_text(json.dumps({"data": f"folder:{folder_data}", "input_size": "64", "steps": 3}))
    code, out, err = command(main, *asked, "--measure", "--runs", whole, "--benefit", benefit)
    assert code == 0, err
    assert out.count("| **SlimLab** |") == 2
    assert "| 0.2500 |" in out
    code, _, err = command(main, *asked, "--steps", 4, "--work", tmp_path / "other", "--benefit", benefit)
    assert code == 2
    assert "--benefit" in err
    code, _, err = command(main, *asked, "--steps", 4)
    assert code == 2
    assert "--work" in err
