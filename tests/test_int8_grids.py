"""The int8 grids are those of the converter, and simulated int8 keeps to them in every space."""

import numpy as np
import pytest
import torch
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor as aeq
from conftest import every_tap, tiny_of
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.tflite.int8_grids import trainable_value_grid, value_grid, weight_scales
from compress.tflite.ranges import observe_ranges
from compress.tflite.simulated_int8 import FakeQuantized, fake_quantize
from search_spaces import SPACES
from search_spaces.genotype import Genotype
from search_spaces.network import Network, layer_name
from search_spaces.ops import SIGMOID


@pytest.fixture(scope="module")
def untrained(tiny: Genotype) -> FakeQuantized:
    network = every_tap(Network(tiny)).eval()
    return fake_quantize(network, dict.fromkeys([op.name for op in network.graph], (-1.0, 1.0)))


@given(st.floats(-50, 0.5, width=32), st.floats(0.625, 50, width=32), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_values_are_on_the_converters_grid(untrained: FakeQuantized, low: float, high: float, seed: int) -> None:
    values = 60 * torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(seed))
    bounds = (np.full((1, 1, 1, 1), bound, np.float32) for bound in (low, high))
    zero, scale = aeq.tensor_zp_scale_from_min_max(*bounds, 8, False, qtyping.QuantGranularity.TENSORWISE)
    parameters = qtyping.UniformQuantParams(8, None, scale, zero, symmetric=False)
    theirs = (aeq.uniform_quantize(values.numpy(), parameters).astype(np.float32) - zero) * scale
    with torch.no_grad():
        untrained.low["stem"].fill_(low)
        untrained.high["stem"].fill_(high)
        ours = untrained.on_grid("stem", values).numpy()
    different = np.abs(ours - theirs) > 1e-3 * scale
    assert different.mean() < 0.02  # a value midway between two steps may go to either
    assert np.abs(ours - theirs).max() <= scale * 1.001


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_weights_are_on_the_converters_grid(seed: int) -> None:
    weights = torch.randn(6, 27, 1, 1, generator=torch.Generator().manual_seed(seed))
    bound = weights.abs().amax((1, 2, 3), keepdim=True).numpy()
    zero, scale = aeq.tensor_zp_scale_from_min_max(-bound, bound, 8, True, qtyping.QuantGranularity.CHANNELWISE)
    np.testing.assert_allclose(
        weight_scales(weights, torch.zeros(6), torch.tensor(1.0)).numpy(), scale.ravel(), rtol=1e-6
    )
    assert (zero == 0).all()


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 4, 16]))
@settings(max_examples=10, deadline=None)
def test_a_filter_keeps_its_sum(seed: int, bands: int) -> None:
    """Edge filters have large weights that add up to nothing: rounded, they must not answer to brightness."""
    weights = 40 * torch.randn(32, bands, 3, 3, generator=torch.Generator().manual_seed(seed))
    weights -= weights.mean((1, 2, 3), keepdim=True)
    largest = weights.abs().amax((1, 2, 3)) / 127
    chosen = weight_scales(weights, torch.zeros(32), torch.tensor(1 / 255))
    assert (chosen >= largest).all()
    assert (chosen <= 1.2501 * largest).all()

    def answer(scales: torch.Tensor) -> float:
        steps = scales.view(-1, 1, 1, 1)
        return float(((weights / steps).round() * steps).sum((1, 2, 3)).square().mean())

    assert answer(chosen) < 0.25 * answer(largest)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
@settings(max_examples=200, deadline=None)
def test_the_trainable_grid_is_the_grid_of_the_file(one: float, other: float) -> None:
    low, high = min(one, other, 0.0), max(one, other, 0.0)
    scale, zero = value_grid((low, high))
    ours = trainable_value_grid(*(torch.tensor(end, dtype=torch.float64) for end in (low, high)))
    assert (ours[0].item(), ours[1].item()) == (scale, zero)
    assert -128 <= zero <= 127


@pytest.mark.parametrize("space", SPACES)
def test_every_space_can_be_simulated_and_given_back(space: str) -> None:
    """Layers with a bias instead of batch norm too; the range of a sigmoid is fixed and does not learn."""
    network = every_tap(Network(tiny_of(space))).eval()
    images = torch.rand(1, 3, *network.genotype.resolution)
    simulated = fake_quantize(network, observe_ranges(network, [images], "minmax"))
    simulated(images).sum().backward()
    sigmoids = [op.name for op in network.graph if op.kind == SIGMOID]
    for name in sigmoids:
        assert simulated.ranges()[name] == (0, 255 / 256)
        assert layer_name(name) not in simulated.low
    with torch.inference_mode():
        torch.testing.assert_close(simulated.plain()(images), network(images), atol=1e-4, rtol=1e-4)


def test_rounding_passes_gradients_and_clipping_stops_them(tiny: Genotype) -> None:
    network = Network(tiny).eval()
    simulated = fake_quantize(network, dict.fromkeys([op.name for op in network.graph], (-1.0, 1.0)))
    values = torch.tensor([-3.0, -0.501, 0.3, 3.0]).reshape(1, 4, 1, 1).requires_grad_()
    simulated.on_grid("stem", values).sum().backward()
    assert values.grad is not None
    assert values.grad.flatten().tolist() == pytest.approx([0, 1, 1, 0], abs=1e-5)
    high = simulated.high["stem"].grad
    assert high is not None
    assert high > 0  # a wider range lets the clipped value come nearer to itself
