"""Weights to start from: what fits by name and shape is taken, files that are none are refused in a line."""

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
from conftest import random_genotype
from safetensors.torch import save_file
from torch import nn

from compress.files.tensors import save_network, save_tensors
from nas.initial_weights import read_initial_weights
from nas.supernet import Supernet, extract
from search_spaces import deeplabv3plus
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.trials import LargestTrial


def made(genotype: Genotype, seed: int) -> Network:
    torch.manual_seed(seed)
    return Network(genotype)


@pytest.mark.parametrize("kind", ["network.pt", "plain.pt", "nested.pth", "file.safetensors"])
def test_every_kind_of_file_gives_its_tensors(tiny: Genotype, tmp_path: Path, kind: str) -> None:
    source, network, path = made(tiny, 1), made(tiny, 2), tmp_path / kind
    state = {f"module.shared.{name}": value for name, value in source.state_dict().items()}
    if kind == "network.pt":
        save_network(source, path)
    elif kind == "plain.pt":
        save_tensors(state, path)
    elif kind == "nested.pth":
        save_tensors({"epoch": 3, "state_dict": state}, path)
    else:
        save_file(state, path)
    weights = read_initial_weights(str(path))
    weights.start(network)
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    count = len(source.state_dict())
    said = weights.summary(network.genotype)
    assert f"{count} of the largest network's {count} tensors start from it, 0 at random; 0 of" in said


def test_what_does_not_fit_stays_as_it_was(tiny: Genotype, tmp_path: Path) -> None:
    """Another number of classes and a wider decoder: the backbone is taken."""
    source, network = made(tiny, 1), made(dataclasses.replace(tiny, classes=5, decoder=(32, 24)), 2)
    save_tensors({**source.state_dict(), "layers.stranger.conv.weight": torch.zeros(3)}, tmp_path / "n.pt")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = read_initial_weights(str(tmp_path / "n.pt"))
    taken = weights.fitting(network)
    weights.start(network)
    assert "layers.stem.conv.weight" in taken
    for name, value in network.state_dict().items():
        assert torch.equal(value, source.state_dict()[name] if name in taken else before[name]), name
    left = len(before) - len(taken)
    assert 0 < left < len(before) / 2
    assert f"{len(taken)} of the largest network's {len(before)} tensors start from it, {left} at random" in (
        weights.summary(network.genotype)
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_subnet_of_the_files_network_takes_its_slices(tmp_path: Path, seed: int) -> None:
    largest = made(deeplabv3plus.sample(LargestTrial(), 3, (128, 128)), 1)
    save_network(largest, tmp_path / "teacher.pt")
    genotype = random_genotype(seed)
    network = made(genotype, 2)
    read_initial_weights(str(tmp_path / "teacher.pt")).start(network)
    supernet = Supernet(largest.genotype)
    supernet.shared.load_state_dict(largest.state_dict())
    for name, value in extract(supernet, genotype).state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    other = dataclasses.replace(genotype, classes=2)  # the first two classes of three would be a guess
    assert not any(
        "classifier" in name for name in read_initial_weights(str(tmp_path / "teacher.pt")).fitting(made(other, 3))
    )


def test_a_file_that_cannot_be_is_one_line(tiny: Genotype, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(nn.Conv2d(1, 1, 1)))
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "module.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "broken.safetensors").write_bytes(b"\x01\x02")
    for name, said in (
        ("none.pt", "there is no such file"),
        ("evil.pt", "not a file of tensors alone"),
        ("module.pt", "not a file of tensors alone"),
        ("empty.pt", "not a file of tensors alone"),
        ("broken.safetensors", "no whole safetensors file"),
    ):
        with pytest.raises(InputError, match=f"--weights .*{name}: {said}") as refused:
            read_initial_weights(str(tmp_path / name))
        assert len(str(refused.value).splitlines()) == 1
    save_tensors({"encoder.conv1.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="none of its 1 tensors fits by name and shape"):
        read_initial_weights(str(tmp_path / "other.pt")).start(made(tiny, 0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["network.pt", "file.safetensors"])
def test_weights_that_are_not_finite_are_refused_by_name(
    tiny: Genotype, tmp_path: Path, kind: str, value: float
) -> None:
    source = made(tiny, 1)
    source.state_dict()["layers.stem.conv.weight"].view(-1)[5] = value
    save_network(source, tmp_path / kind) if kind == "network.pt" else save_file(source.state_dict(), tmp_path / kind)
    with pytest.raises(InputError, match=rf"{kind}: tensor layers.stem.conv.weight has values that are not"):
        read_initial_weights(str(tmp_path / kind))
