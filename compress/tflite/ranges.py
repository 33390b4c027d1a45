"""The range (low, high) of every value of a network, found by running it on real images.

An estimator turns what was seen into a range. `minmax` takes the extremes. `percentile` leaves out the outermost
values. `mse` takes the range with the least squared error after rounding to int8. `moving-average` smooths the extremes
of the images. Fixed and tied ranges are set afterwards (`compress.tflite.int8_grids`).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from compress.tflite.int8_grids import (
    PIXEL_RANGE,
    ValueRange,
    ValueRanges,
    tie_ranges,
    value_grid,
    widen_narrow_ranges,
)
from search_spaces.errors import InputError
from search_spaces.network import Network, fold_batch_norm
from search_spaces.ops import ARGMAX, INPUT

HISTOGRAM_BINS = 2048
TAIL_SHARE = 1e-4  # of the values, left out by `percentile` at each end
SMOOTHING = 0.95  # of `moving-average`, as in ai-edge-quantizer's calibration
TRIED_SHARES = np.linspace(1.0, 0.2, 41)  # of the extremes, tried by `mse` at each end


@dataclass
class ValueHistogram:
    """What one value was on the images.

    Attributes:
        extremes: The least and greatest element of each image.
        low: The least element of all images.
        high: The greatest element of all images.
        counts: Elements in each of HISTOGRAM_BINS equal bins from `low` to `high`.
    """

    extremes: list[ValueRange] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(HISTOGRAM_BINS))

    def add_extremes(self, value: Tensor) -> None:
        """First pass: notes the extremes of each image.

        Args:
            value: N,C,H,W.
        """
        flat = value.flatten(1)
        for low, high in zip(flat.amin(1).tolist(), flat.amax(1).tolist(), strict=True):
            self.extremes.append((low, high))
        self.low, self.high = min(low for low, _ in self.extremes), max(high for _, high in self.extremes)

    def add_counts(self, value: Tensor) -> None:
        """Second pass: counts the elements, within the extremes of the first pass.

        Args:
            value: N,C,H,W.
        """
        self.counts += torch.histc(value.float(), HISTOGRAM_BINS, self.low, self.high).cpu().numpy()

    @property
    def bin_width(self) -> float:
        """The width of one bin."""
        return (self.high - self.low) / HISTOGRAM_BINS

    @property
    def bin_centres(self) -> np.ndarray:
        """The middle of each bin."""
        return self.low + self.bin_width * (np.arange(HISTOGRAM_BINS) + 0.5)


def minmax(seen: ValueHistogram) -> ValueRange:
    """The extremes of all images.

    Args:
        seen: What the value was on the images.

    Returns:
        The range.
    """
    return seen.low, seen.high


def percentile(seen: ValueHistogram) -> ValueRange:
    """Leaves out the outermost TAIL_SHARE of the elements at each end.

    Args:
        seen: What the value was on the images.

    Returns:
        The range.
    """
    share = seen.counts.cumsum() / seen.counts.sum()
    first = int(np.searchsorted(share, TAIL_SHARE, side="right"))
    last = int(np.searchsorted(share, 1 - TAIL_SHARE))
    return seen.low + seen.bin_width * first, seen.low + seen.bin_width * (last + 1)


def mse(seen: ValueHistogram) -> ValueRange:
    """The range whose int8 grid has the least mean squared error, by rounding and by clipping.

    Args:
        seen: What the value was on the images.

    Returns:
        The range.
    """
    values, weights = seen.bin_centres[seen.counts > 0], seen.counts[seen.counts > 0]
    lows = np.unique(min(seen.low, 0.0) * TRIED_SHARES)
    highs = np.unique(max(seen.high, 0.0) * TRIED_SHARES)
    best, least = (seen.low, seen.high), np.inf
    for low in lows:
        for high in highs[highs > low]:
            scale, zero = value_grid((float(low), float(high)))
            rounded = (np.clip(np.round(values / scale) + zero, -128, 127) - zero) * scale
            error = float(weights @ (rounded - values) ** 2)
            if error < least:
                best, least = (float(low), float(high)), error
    return best


def moving_average(seen: ValueHistogram) -> ValueRange:
    """The exponential moving average of the images' extremes.

    Args:
        seen: What the value was on the images.

    Returns:
        The range.
    """
    low, high = seen.extremes[0]
    for next_low, next_high in seen.extremes[1:]:
        low = SMOOTHING * low + (1 - SMOOTHING) * next_low
        high = SMOOTHING * high + (1 - SMOOTHING) * next_high
    return low, high


ESTIMATORS: dict[str, Callable[[ValueHistogram], ValueRange]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "moving-average": moving_average,
}
DEFAULT_ESTIMATOR = "moving-average"


def watch_values(network: Network, batches: Iterable[Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Runs a network and shows every value before the argmax.

    Args:
        network: The network, run in the mode it is in.
        batches: Images N,bands,h,w in 0..1 at its resolution.

    Yields:
        For each batch and each op in order, the name of the op and the value N,C,H,W that it makes.
    """
    for images in batches:
        values = {INPUT: images}
        for op in network.graph:
            if op.kind != ARGMAX:
                values[op.name] = network.run(op, values)
                yield op.name, values[op.name]


@torch.inference_mode()
def observe_histograms(network: Network, batches: Iterable[Tensor]) -> dict[str, ValueHistogram]:
    """Runs the float network twice: for the extremes and for the counts.

    Args:
        network: The network. Its batch norm is folded, as in the file.
        batches: Images N,bands,h,w in 0..1 at its resolution. They are gone through twice.

    Returns:
        The histogram of each value.
    """
    seen = {op.name: ValueHistogram() for op in network.graph if op.kind != ARGMAX}
    folded = fold_batch_norm(network).to(next(network.parameters()).device)
    for add in (ValueHistogram.add_extremes, ValueHistogram.add_counts):
        for name, value in watch_values(folded, batches):
            add(seen[name], value)
    return seen


def observe_ranges(network: Network, batches: Iterable[Tensor], estimator: str = DEFAULT_ESTIMATOR) -> ValueRanges:
    """The range of every value, ready for `compress.tflite.simulated_int8` and `compress.tflite.quantization`.

    Args:
        network: The float network.
        batches: Images N,bands,h,w in 0..1 at its resolution. They are gone through twice.
        estimator: One of ESTIMATORS.

    Returns:
        Ranges by value name, tied and wide enough.

    Raises:
        InputError: The estimator is none of ESTIMATORS.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"--ranges {estimator}: no such estimator; choose from {', '.join(ESTIMATORS)}")
    seen = observe_histograms(network, batches)
    found = {name: ESTIMATORS[estimator](histogram) for name, histogram in seen.items()}
    return widen_narrow_ranges(tie_ranges(found, network.graph), fold_batch_norm(network))


@torch.no_grad()
def observe_extremes(network: Network, batches: Iterable[Tensor]) -> ValueRanges:
    """The least and greatest element of every value, in one pass. A search takes these for candidates.

    Args:
        network: The network, run in the mode it is in. In training mode this also updates its BN statistics.
        batches: Images N,bands,h,w in 0..1 at its resolution.

    Returns:
        Ranges by value name, tied, with zero inside.
    """
    seen: ValueRanges = {INPUT: PIXEL_RANGE}
    for name, value in watch_values(network, batches):
        low, high = (float(bound) for bound in torch.aminmax(value))
        known = seen.get(name, (0.0, 0.0))  # zero is always on the grid
        seen[name] = (min(known[0], low), max(known[1], high))
    return tie_ranges(seen, network.graph)
