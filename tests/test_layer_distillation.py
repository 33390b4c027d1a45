"""Layers that teach: nni's losses are computed on the right layers and reach what is to learn."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress.distillation.layer_distillation import PLACES, LayerDistillation, last_op
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network


@pytest.fixture
def networks(tiny: Genotype) -> tuple[Network, Network]:
    """A student whose ASPP is narrower than its teacher's."""
    torch.manual_seed(0)
    narrow = dataclasses.replace(tiny, aspp_out=16, resolution=(64, 64))
    return Network(narrow).eval(), Network(dataclasses.replace(tiny, resolution=(64, 96))).eval()


def seen(network: Network, images: Tensor) -> dict[str, Tensor]:
    return {op.name: network.values(images)[op.name] for op in network.graph[:-1]}


def test_dynamic_compares_each_layer_with_the_nearest_of_its_width(
    networks: tuple[Network, Network], tmp_path: Path
) -> None:
    student, teacher = networks
    features = LayerDistillation("dynamic", 0.5, ("aspp", "decoder"), student, teacher, tmp_path / "log")
    images = torch.rand(2, 3, 64, 64)
    logits = features.student(images)
    torch.testing.assert_close(logits, student(images))
    with torch.no_grad():
        features.teacher(images)
    own, theirs = seen(student, images), seen(teacher, images)
    sixteen = ("aspp.1x1", "aspp.rate2.pointwise")  # channels, as the student's ASPP
    expected = min(F.mse_loss(own["aspp.project"], theirs[name]) for name in sixteen)
    expected = expected + F.mse_loss(own["decoder.2.pointwise"], theirs["decoder.2.pointwise"])
    torch.testing.assert_close(features.loss(), 0.5 * expected)
    assert len(features.linears) == 0


def test_adaptive_aligns_widths_with_maps_that_learn(networks: tuple[Network, Network], tmp_path: Path) -> None:
    student, teacher = networks
    names = list(student.state_dict())
    features = LayerDistillation("adaptive", 1.0, PLACES, student, teacher, tmp_path / "log")
    (linear,) = features.linears  # backbone and decoder are as wide as the teacher's
    assert isinstance(linear, nn.Linear)
    assert (linear.in_features, linear.out_features) == (16, 24)
    images = torch.rand(2, 3, 64, 64)
    features.student(images)
    with torch.no_grad():
        features.teacher(F.interpolate(images, (128, 128), mode="bilinear"))  # a teacher of another resolution
    loss = features.loss()
    loss.backward()
    assert linear.weight.grad is not None
    assert linear.weight.grad.abs().sum() > 0
    assert student.get_submodule("layers.stem.conv").weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert list(student.state_dict()) == names


def test_a_student_in_training_mode_learns_nothing_from_the_blank_image(
    networks: tuple[Network, Network], tmp_path: Path
) -> None:
    student, teacher = networks
    before = {name: value.clone() for name, value in student.state_dict().items()}
    LayerDistillation("adaptive", 1.0, PLACES, student.train(), teacher, tmp_path / "log")
    torch.testing.assert_close(dict(student.state_dict()), before)


@pytest.mark.parametrize("kind", ["dynamic", "adaptive"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    networks: tuple[Network, Network], tmp_path: Path, kind: str
) -> None:
    student, _ = networks
    twin = Network(student.genotype).eval()
    twin.load_state_dict(student.state_dict())
    features = LayerDistillation(kind, 1.0, PLACES, student, twin, tmp_path / "log")
    images = torch.rand(1, 3, 64, 64)
    features.student(images)
    features.teacher(images)
    assert features.loss().item() == pytest.approx(0, abs=1e-9)


def test_a_layer_that_is_missing_or_has_no_partner_is_named(networks: tuple[Network, Network], tmp_path: Path) -> None:
    student, teacher = networks
    with pytest.raises(InputError, match="no layer of 40 channels"):
        LayerDistillation("dynamic", 1.0, ("backbone",), student, narrower(teacher), tmp_path / "log")
    graph = tuple(op for op in student.graph if op.name != "aspp.project")
    with pytest.raises(InputError, match=r"--features aspp: .*choose from decoder"):
        last_op(graph, "aspp")


def narrower(network: Network) -> Network:
    stages = (*network.genotype.stages[:-1], dataclasses.replace(network.genotype.stages[-1], width=48))
    return Network(dataclasses.replace(network.genotype, stages=stages)).eval()
