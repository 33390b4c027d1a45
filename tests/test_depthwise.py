"""Depthwise convolution with gradients of its own: torch's values, in training alone."""

import pytest
import torch
from conftest import every_tap, random_genotype
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from nas.supernet import Supernet, extract, largest_networks
from search_spaces import get_space, network
from search_spaces.depthwise import depthwise
from search_spaces.genotype import Genotype
from search_spaces.network import Network


def values_and_gradients(output: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)  # of each output in the loss
    return [output.detach(), *torch.autograd.grad((output.float() * weights).sum(), inputs)]


def assert_close(one: Tensor, other: Tensor, tolerance: float) -> None:
    assert (one - other).abs().max() <= tolerance * max(1.0, float(other.abs().max()))


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    channels=st.integers(1, 12),
    kernel=st.sampled_from([1, 2, 3, 4, 5, 7]),
    stride=st.integers(1, 3),
    dilation=st.sampled_from([1, 2, 3, 6, 18]),
    padding=st.none() | st.integers(0, 4),
    channels_last=st.booleans(),
    with_bias=st.booleans(),
)
def test_it_is_torchs_convolution(
    size: tuple[int, int, int],
    channels: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: int | None,
    channels_last: bool,
    with_bias: bool,
) -> None:
    count, height, width = size
    padding = (kernel - 1) * dilation // 2 if padding is None else padding
    if min(height, width) + 2 * padding <= (kernel - 1) * dilation:
        return
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, channels, height, width, generator=generator)
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator)
    inputs = [x, weight, *([torch.randn(channels, generator=generator)] if with_bias else [])]
    for tensor in inputs:
        tensor.requires_grad_()
    bias = inputs[2] if with_bias else None
    plain = F.conv2d(x, weight, bias, stride, padding, dilation, channels)
    ours = depthwise(x, weight, bias, stride, padding, dilation)
    for one, other in zip(values_and_gradients(ours, *inputs), values_and_gradients(plain, *inputs), strict=True):
        assert_close(one, other, 1e-4)


def test_only_the_gradients_that_are_needed_are_computed() -> None:
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(4, 1, 3, 3, requires_grad=True)
    depthwise(x, weight, None, 1, 1, 1).sum().backward()
    assert x.grad is None
    assert weight.grad is not None
    depthwise(x.requires_grad_(), weight.detach(), None, 1, 1, 1).sum().backward()
    assert x.grad is not None


def test_autocast_gives_bfloat16_and_float32_gradients() -> None:
    x, weight = torch.randn(2, 8, 16, 16, requires_grad=True), torch.randn(8, 1, 5, 5, requires_grad=True)
    plain = values_and_gradients(F.conv2d(x, weight, None, 1, 4, 2, 8), x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        output = depthwise(x, weight, None, 1, 4, 2)
    assert output.dtype == torch.bfloat16
    ours = values_and_gradients(output, x, weight)
    assert {gradient.dtype for gradient in ours[1:]} == {torch.float32}
    for one, other in zip(ours, plain, strict=True):
        assert_close(one, other, 0.03)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a network calls `depthwise`."""
    calls = [0]

    def count(*arguments: object) -> Tensor:
        calls[0] += 1
        return depthwise(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "depthwise", count)
    return calls


def test_only_training_uses_it(tiny: Genotype, counted: list[int]) -> None:
    """What is exported, scored and pruned is plain convolution."""
    net, images = every_tap(Network(tiny)), torch.rand(2, 3, 64, 96)
    net.eval()(images)
    torch.export.export(net, (images,))
    with torch.no_grad():
        net.train()(images)
    assert counted == [0]
    net(images)
    assert counted[0] > 0


def test_a_network_has_the_gradients_of_plain_convolutions(tiny: Genotype, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(4, 3, 64, 96)

    def gradients() -> list[Tensor]:
        torch.manual_seed(0)
        net = every_tap(Network(tiny)).double()
        return values_and_gradients(net(images.double()), *net.parameters())

    ours = gradients()
    monkeypatch.setattr(network, "depthwise", lambda x, w, b, s, p, d: F.conv2d(x, w, b, s, p, d, x.shape[1]))
    for one, other in zip(ours, gradients(), strict=True):
        assert_close(one, other, 1e-10)


def test_a_supernet_gives_its_sliced_weights_the_gradients_of_the_subnet() -> None:
    genotype = random_genotype(3, side=64)
    torch.manual_seed(0)
    supernet = Supernet(*largest_networks(get_space(genotype.space), genotype.classes, genotype.resolution))
    every_tap(supernet.shared)
    subnet, images = extract(supernet, genotype), torch.rand(2, 3, 64, 64)
    subnet(images).square().mean().backward()
    supernet(images, genotype).square().mean().backward()
    supernet_gradients = {name: p.grad for name, p in supernet.shared.named_parameters() if p.grad is not None}
    for name, parameter in subnet.named_parameters():
        assert parameter.grad is not None
        # the shared tensor has zeros beside the slice
        assert_close(supernet_gradients[name].double().abs().sum(), parameter.grad.double().abs().sum(), 1e-3)


@pytest.mark.parametrize("count", [2, 16])
def test_a_matrix_product_is_the_convolution(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch has no fast convolution of 1x1 for few images on one thread."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    conv = torch.nn.Conv2d(5, 7, 1)
    x = torch.randn(count, 5, 6, 4).to(memory_format=torch.channels_last).requires_grad_()
    inputs = (x, conv.weight, conv.bias)
    ours, plain = values_and_gradients(network.dense(x, conv), *inputs), values_and_gradients(conv(x), *inputs)
    for one, other in zip(ours, plain, strict=True):
        assert_close(one, other, 1e-5)
