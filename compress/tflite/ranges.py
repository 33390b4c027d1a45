"""The range (low, high) of every value of a network, seen on real images: what int8 scales are made of.

Estimators: minmax, the widest values seen; percentile, all but the outermost; mse, the least squared error after
rounding to 256 steps; moving-average, the images' extremes smoothed. Values that a concat joins or a resize reads and
makes share the widest of their ranges; pixels are 0..1 (so int8 input is the byte less 128), and so are sigmoids.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from search_spaces.errors import InputError
from search_spaces.network import ConvBNAct, Network, fold_batch_norm, layer_name
from search_spaces.ops import ARGMAX, CONCAT, INPUT, RESIZE, SIGMOID, Graph, Op

Range = tuple[float, float]
Ranges = dict[str, Range]  # by the name of the op that makes the value; INPUT for the pixels
PIXELS: Range = (0.0, 1.0)
GATE: Range = (0.0, 255 / 256)  # of a sigmoid, by the int8 specification
BINS = 2048
TAIL = 1e-4  # share of values that `percentile` leaves out at each end
SMOOTHING = 0.95  # of `moving-average`, as in ai-edge-quantizer's calibration
SHRUNK = np.linspace(1.0, 0.2, 41)  # shares of the widest range that `mse` tries at each end
LEAST_SPAN = 1e-9  # of a range, as in ai-edge-quantizer
LEVELS = 255  # steps of a value's range
WEIGHT_LEVELS = 127  # steps of a weight's magnitude
COARSEST = 200  # steps of a convolution's output that one step of its sums may be; XNNPACK takes less than 256
BIAS_STEPS = 2**24  # a bias takes at most: int32 has room, and the kernels' float32 holds it exactly


def step_of(found: Range) -> float:
    """The int8 scale of a range; zero is always inside."""
    return max(max(found[1], 0.0) - min(found[0], 0.0), LEAST_SPAN) / LEVELS


def grid_of(found: Range) -> tuple[float, int]:
    """The int8 scale and zero point of a range. The zero point is a whole number, which may shift what the range holds
    by half a step."""
    step = step_of(found)
    return step, int(np.clip(np.round(-128 - min(found[0], 0.0) / step), -128, 127))


@dataclass
class Histogram:
    """Counts of one value's elements in BINS equal bins from `low` to `high`, and each image's extremes."""

    extremes: list[Range] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS))

    def widen(self, value: Tensor) -> None:
        """First pass: notes the extremes of each image of N,C,H,W."""
        flat = value.flatten(1)
        for low, high in zip(flat.amin(1).tolist(), flat.amax(1).tolist(), strict=True):
            self.extremes.append((low, high))
        self.low, self.high = min(low for low, _ in self.extremes), max(high for _, high in self.extremes)

    def count(self, value: Tensor) -> None:
        """Second pass, within the extremes of the first."""
        self.counts += torch.histc(value.float(), BINS, self.low, self.high).cpu().numpy()

    @property
    def centres(self) -> np.ndarray:
        width = (self.high - self.low) / BINS
        return self.low + width * (np.arange(BINS) + 0.5)


def minmax(seen: Histogram) -> Range:
    return seen.low, seen.high


def percentile(seen: Histogram) -> Range:
    """Leaves out TAIL of the values at each end."""
    share = seen.counts.cumsum() / seen.counts.sum()
    width = (seen.high - seen.low) / BINS
    first = int(np.searchsorted(share, TAIL, side="right"))
    last = int(np.searchsorted(share, 1 - TAIL))
    return seen.low + width * first, seen.low + width * (last + 1)


def mse(seen: Histogram) -> Range:
    """The shrunk range whose int8 grid is nearest to the values in the mean square, rounding and clipping both."""
    values, weights = seen.centres[seen.counts > 0], seen.counts[seen.counts > 0]
    lows = np.unique(min(seen.low, 0.0) * SHRUNK)
    highs = np.unique(max(seen.high, 0.0) * SHRUNK)
    best, least = (seen.low, seen.high), np.inf
    for low in lows:
        for high in highs[highs > low]:
            step, zero = grid_of((float(low), float(high)))
            rounded = (np.clip(np.round(values / step) + zero, -128, 127) - zero) * step
            error = float(weights @ (rounded - values) ** 2)
            if error < least:
                best, least = (float(low), float(high)), error
    return best


def moving_average(seen: Histogram) -> Range:
    low, high = seen.extremes[0]
    for next_low, next_high in seen.extremes[1:]:
        low = SMOOTHING * low + (1 - SMOOTHING) * next_low
        high = SMOOTHING * high + (1 - SMOOTHING) * next_high
    return low, high


ESTIMATORS: dict[str, Callable[[Histogram], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "moving-average": moving_average,
}
DEFAULT = "moving-average"


class _Watched(Network):
    """Runs a folded network and shows every value to `see`."""

    def __init__(self, network: Network, see: Callable[[str, Tensor], None]) -> None:
        super().__init__(network.genotype)
        self.layers = fold_batch_norm(network).layers
        self.see = see

    def run(self, op: Op, values: Mapping[str, Tensor]) -> Tensor:
        made = super().run(op, values)
        self.see(op.name, made)
        return made


@torch.inference_mode()
def observe(network: Network, batches: Iterable[Tensor]) -> dict[str, Histogram]:
    """What the float network's values are on N,3,h,w images in 0..1 at its resolution."""
    seen = {op.name: Histogram() for op in network.graph if op.kind != ARGMAX}
    for see in (Histogram.widen, Histogram.count):
        watched = _Watched(network, lambda name, value, see=see: see(seen[name], value))  # type: ignore[misc]
        watched.to(next(network.parameters()).device).eval()
        for images in batches:
            watched(images)
    return seen


def observe_ranges(network: Network, batches: Iterable[Tensor], estimator: str = DEFAULT) -> Ranges:
    """Ranges by value name, ready for `compress.tflite.simulated_int8` and `compress.tflite.conversion`.

    `batches` is gone through twice. Raises InputError for an estimator that is none.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"--ranges {estimator}: no such estimator; choose from {', '.join(ESTIMATORS)}")
    seen = observe(network, batches)
    found = tied({name: ESTIMATORS[estimator](histogram) for name, histogram in seen.items()}, network.graph)
    return wide_enough(found, fold_batch_norm(network))


def tied(ranges: Ranges, graph: Graph) -> Ranges:
    """The same ranges with those that are fixed and with one range, the widest, for all values that must share one."""
    ranges = {**ranges, **fixed(graph)}
    for names in tied_values(graph):
        low, high = min(ranges[name][0] for name in names), max(ranges[name][1] for name in names)
        ranges |= dict.fromkeys(names, (low, high))
    return ranges


@torch.no_grad()
def wide_enough(ranges: Ranges, folded: Network) -> Ranges:
    """The same ranges, wider where a convolution's output hardly varies beside what it sums: that of a dead layer, or
    constant scores. XNNPACK refuses a step of input times weight that is 256 of the output's, and LiteRT aborts the
    process on such a file."""
    narrow = True
    while narrow:  # a wider range may be another convolution's input
        narrow = False
        for op in folded.graph:
            if op.has_weights:
                layer = folded.layers[layer_name(op.name)]
                assert isinstance(layer, ConvBNAct)
                assert layer.conv.bias is not None
                step = torch.tensor(step_of(ranges[op.inputs[0]]))
                coarsest = step * weight_scales(layer.conv.weight, layer.conv.bias, step).max()
                least = float(coarsest) / COARSEST
                if step_of(ranges[op.name]) < least * 0.999:
                    narrow = True
                    low = min(ranges[op.name][0], 0.0)
                    ranges = tied({**ranges, op.name: (low, low + least * LEVELS)}, folded.graph)
    return ranges


@torch.no_grad()
def weight_scales(weight: Tensor, bias: Tensor, step: Tensor) -> Tensor:
    """out,1,1,1 scales of convolution weights out,in,k,k after an input of scale `step`; a bias that is huge beside its
    weights raises theirs (`compress.tflite.reader.weight_bounds`)."""
    bounds = weight.abs().amax((1, 2, 3)).clamp_min(LEAST_SPAN) / WEIGHT_LEVELS
    return torch.maximum(bounds, bias.abs() / (step * BIAS_STEPS))[:, None, None, None]


def fixed(graph: Graph) -> Ranges:
    """The ranges that do not depend on what was seen."""
    return {INPUT: PIXELS, **{op.name: GATE for op in graph if op.kind == SIGMOID}}


def tied_values(graph: Graph) -> list[set[str]]:
    """Groups of values that share one quantization: what a concat joins and what a resize reads and makes.

    The int8 specification asks a concat and a resize for equal scales
    (ai.google.dev/edge/litert/models/quantization_spec); with one range no QUANTIZE op is needed between them.
    """
    groups: list[set[str]] = []
    for op in graph:
        if op.kind in (CONCAT, RESIZE):
            names = {op.name, *op.inputs}
            touching = [group for group in groups if group & names]
            groups = [group for group in groups if not group & names] + [names.union(*touching)]
    return groups
