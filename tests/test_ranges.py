"""Range estimators: what each may and may not do to the values it saw."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compress.tflite.int8_grids import PIXEL_RANGE, ValueRange, tie_ranges, tied_values, value_scale
from compress.tflite.ranges import ESTIMATORS, ValueHistogram, observe_ranges
from search_spaces import graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.ops import INPUT


def seen(images: torch.Tensor) -> ValueHistogram:
    histogram = ValueHistogram()
    histogram.add_extremes(images)
    histogram.add_counts(images)
    return histogram


def images(seed: int, outlier: float = 0.0) -> torch.Tensor:
    values = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    values[0, 0, 0, 0] += outlier
    return values


def error(values: torch.Tensor, found: ValueRange) -> float:
    """Mean squared error of rounding to the 256 steps of a range, as int8 does it."""
    step = value_scale(found)
    zero = round(-128 - min(found[0], 0.0) / step)
    steps = np.clip(np.round(values.numpy() / step) + zero, -128, 127)
    return float(np.mean(((steps - zero) * step - values.numpy()) ** 2))


@pytest.mark.parametrize("name", ESTIMATORS)
@given(st.integers(0, 10**6), st.floats(0, 500))
@settings(max_examples=10, deadline=None)
def test_no_estimator_leaves_what_was_seen(name: str, seed: int, outlier: float) -> None:
    values = images(seed, outlier)
    low, high = ESTIMATORS[name](seen(values))
    assert values.min() - 1e-4 <= low < high <= values.max() * 1.001


@given(st.integers(0, 10**6), st.floats(0, 500))
@example(1389, 0.0)  # the zero point's rounding clips what the range would hold
@settings(max_examples=20, deadline=None)
def test_mse_is_never_worse_than_minmax(seed: int, outlier: float) -> None:
    values = images(seed, outlier)
    histogram = seen(values)
    chosen, widest = (error(values, ESTIMATORS[name](histogram)) for name in ("mse", "minmax"))
    assert chosen <= widest * 1.05 + 1e-9  # it decides by a histogram


def test_minmax_is_the_extremes_and_percentile_forgets_an_outlier() -> None:
    values = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    values[0, 0, 0, 0] = 400  # one value in 49 152
    histogram = seen(values)
    assert ESTIMATORS["minmax"](histogram) == (values.min().item(), values.max().item())
    assert ESTIMATORS["percentile"](histogram)[1] < 10


def test_moving_average_is_the_smoothed_extremes_of_the_images() -> None:
    values = images(0)
    low, high = values[0].min().item(), values[0].max().item()
    for image in values[1:]:
        low, high = 0.95 * low + 0.05 * image.min().item(), 0.95 * high + 0.05 * image.max().item()
    assert ESTIMATORS["moving-average"](seen(values)) == pytest.approx((low, high))


def test_a_network_is_observed_value_by_value(tiny: Genotype) -> None:
    torch.manual_seed(0)
    network = Network(tiny).eval()
    batches = [torch.rand(1, 3, *tiny.resolution) for _ in range(2)]
    found = observe_ranges(network, batches, "minmax")
    assert found[INPUT] == PIXEL_RANGE
    assert found.keys() == {INPUT, *(op.name for op in network.graph[:-1])}
    with torch.inference_mode():
        logits = torch.cat([network(batch) for batch in batches])
    assert found["upsample"][0] <= logits.min().item() + 1e-5
    assert found["upsample"][1] >= logits.max().item() - 1e-5
    for names in tied_values(network.graph):
        assert len({found[name] for name in names}) == 1
    assert tie_ranges(found, network.graph) == found


def test_an_estimator_that_is_none_is_named(tiny: Genotype) -> None:
    with pytest.raises(InputError, match="choose from minmax, percentile, mse, moving-average"):
        observe_ranges(Network(tiny), [], "median")


def test_ties_are_those_of_concats_and_resizes(tiny: Genotype) -> None:
    groups = tied_values(graph_of(tiny))
    assert {"classifier", "upsample"} in groups
    assert {"aspp.project", "decoder.resize", "decoder.concat", "decoder.low_level"} in groups
    assert sum(len(group) for group in groups) == len(set().union(*groups))
