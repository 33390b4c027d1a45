"""The int8 grids of weights and values. Simulated int8, candidate files and shipped files all use this module.

The grids follow the int8 specification (ai.google.dev/edge/litert/models/quantization_spec):

- A value (activation) has one scale and one zero point for the whole tensor. Its integers are -128..127, and zero is
  always one of its steps.
- A convolution weight has one scale for each output channel. Its integers are -127..127 and its zero point is 0.
- A bias is an int32 in steps of weight scale times input scale.
- Values that a concat joins, or that a resize reads and makes, share one range. So no QUANTIZE op is needed between
  them.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from compress.tflite.op_codes import TIED_KINDS
from search_spaces.genotype import MAX_BANDS
from search_spaces.network import ConvBNAct, Network, layer_name
from search_spaces.ops import INPUT, SIGMOID, Graph

ValueRange = tuple[float, float]  # the low and the high end of a value
ValueRanges = dict[str, ValueRange]  # by the name of the op that makes the value; INPUT for the pixels
PIXEL_RANGE: ValueRange = (0.0, 1.0)  # so the int8 input is the byte minus 128
SIGMOID_RANGE: ValueRange = (0.0, 255 / 256)  # the int8 specification fixes it
MIN_SPAN = 1e-9  # of a range and of a weight's magnitude, as in ai-edge-quantizer
VALUE_STEPS = 255  # from -128 to 127
WEIGHT_STEPS = 127  # from 0 to the largest magnitude
BIAS_STEPS = 2**24  # the most steps of a bias: int32 has room, and the kernels' float32 holds it exactly
MAX_WIDENING, WIDENINGS = 1.25, 33  # of a filter's scale: the largest one, and how many are tried
BAND_SHARE, TAP_SHARE = 0.1, 0.05  # weights of the errors of one band's sum and of one tap, against the whole sum's
MAX_TAPS = 9 * MAX_BANDS  # of a filter whose sum is kept: those of a stem and of depthwise convolutions
MAX_STEP_RATIO = 200  # steps of a convolution's output in one step of its sums; XNNPACK takes less than 256


def value_scale(found: ValueRange) -> float:
    """The int8 scale of a value.

    Args:
        found: The range of the value. It is widened to include zero.

    Returns:
        The size of one step.
    """
    return max(max(found[1], 0.0) - min(found[0], 0.0), MIN_SPAN) / VALUE_STEPS


def value_grid(found: ValueRange) -> tuple[float, int]:
    """The int8 scale and zero point of a value.

    The zero point is a whole number. So the grid may be shifted against the range by half a step.

    Args:
        found: The range of the value. It is widened to include zero.

    Returns:
        The scale, and the zero point in -128..127.
    """
    scale = value_scale(found)
    return scale, int(np.clip(np.round(-128 - min(found[0], 0.0) / scale), -128, 127))


def trainable_value_grid(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The same grid as `value_grid`, with gradients for the ends of the range.

    Args:
        low: The low end, a scalar that is 0 or less.
        high: The high end, a scalar that is 0 or more.

    Returns:
        The scale and the zero point, scalars.
    """
    scale = (high - low).clamp_min(MIN_SPAN) / VALUE_STEPS
    return scale, round_straight_through(-128 - low / scale)


def round_straight_through(x: Tensor) -> Tensor:
    """Rounds half to even, with the gradient of the identity (straight-through estimator, Bengio et al. 2013).

    Args:
        x: Values of any shape.

    Returns:
        Whole numbers of the same shape.
    """
    return (x - x.detach()) + x.round().detach()  # in this order the sum is exact


@torch.no_grad()
def weight_bounds(weight: Tensor, bias: Tensor, input_scale: Tensor) -> Tensor:
    """The magnitude that the weight scale of each output channel must cover.

    This is the largest weight of the channel, and at least MIN_SPAN. A channel whose weights are nearly zero may still
    have a bias (batch norm can scale the weights to nothing). In steps of the tiny scale such a bias is more than int32
    holds and would be lost. So the bound rises until the bias takes BIAS_STEPS steps.

    A filter of a stem or of a depthwise convolution may be up to MAX_WIDENING wider, so that its sum stays what it is
    (`sum_keeping_factors`).

    Args:
        weight: Convolution weights, out,in,k,k.
        bias: The bias of each output channel, out.
        input_scale: The int8 scale of the value that the convolution reads, a scalar.

    Returns:
        The bound of each output channel, out.
    """
    needed = bias.abs() * WEIGHT_STEPS / (input_scale * BIAS_STEPS)
    bound = torch.maximum(weight.abs().amax((1, 2, 3)).clamp_min(MIN_SPAN), needed)
    is_filter = weight.shape[-1] > 1 and weight[0].numel() <= MAX_TAPS
    return bound * sum_keeping_factors(weight, bound) if is_filter else bound


@torch.no_grad()
def sum_keeping_factors(weight: Tensor, bound: Tensor) -> Tensor:
    """Chooses the scale of each filter for which rounding changes the sum of its weights least.

    The weights of a filter that finds edges, or differences of colour, add up to almost nothing. Batch norm makes them
    large where the images have few edges and little colour. Their rounding errors do not add up to nothing,
    so the filter also answers to brightness: neighbouring pixels are alike, and so are the bands. Another scale rounds
    otherwise. A scale costs the squared error of the sum, and less of the sums of single bands and of single weights.

    Args:
        weight: Convolution weights, out,in,k,k.
        bound: The magnitude that the scale of each output channel must cover, out.

    Returns:
        A factor from 1 to MAX_WIDENING for each output channel, out.
    """
    factors = torch.linspace(1, MAX_WIDENING, WIDENINGS, device=weight.device)
    steps = bound[:, None] * factors / WEIGHT_STEPS  # out,tried
    scaled = weight.float().flatten(2)[:, None] / steps[..., None, None]  # out,tried,in,taps
    errors = scaled.round().sub_(scaled)
    of_bands = errors.sum(3)
    of_taps = errors.flatten(2).square().sum(2)
    cost = of_bands.sum(2).square() + BAND_SHARE * of_bands.square().sum(2) + TAP_SHARE * of_taps
    return factors[(cost * steps.square()).argmin(1)]


def weight_scales(weight: Tensor, bias: Tensor, input_scale: Tensor) -> Tensor:
    """The int8 scale of each output channel of a convolution.

    Args:
        weight: Convolution weights, out,in,k,k.
        bias: The bias of each output channel, out.
        input_scale: The int8 scale of the value that the convolution reads, a scalar.

    Returns:
        The scale of each output channel, out.
    """
    return weight_bounds(weight, bias, input_scale) / WEIGHT_STEPS


def fixed_ranges(graph: Graph) -> ValueRanges:
    """The ranges that do not depend on images: those of the pixels and of sigmoids.

    Args:
        graph: The op list of a network.

    Returns:
        The range of each such value.
    """
    return {INPUT: PIXEL_RANGE, **{op.name: SIGMOID_RANGE for op in graph if op.kind == SIGMOID}}


def merge_groups(groups: Iterable[set[str]]) -> list[set[str]]:
    """Joins the groups that have a name in common.

    Args:
        groups: For each concat and each resize, the names of the values that it reads and makes.

    Returns:
        Disjoint groups of names.
    """
    merged: list[set[str]] = []
    for names in groups:
        touching = [group for group in merged if group & names]
        merged = [group for group in merged if not group & names] + [names.union(*touching)]
    return merged


def tied_values(graph: Graph) -> list[set[str]]:
    """The values that share one range.

    Args:
        graph: The op list of a network.

    Returns:
        Disjoint groups of value names. Values outside these groups are not tied.
    """
    return merge_groups({op.name, *op.inputs} for op in graph if op.kind in TIED_KINDS)


def tie_ranges(ranges: ValueRanges, graph: Graph) -> ValueRanges:
    """Sets the fixed ranges, and gives every group of tied values the widest range of the group.

    Args:
        ranges: The range of each value before the argmax.
        graph: The op list of the network.

    Returns:
        New ranges. The argument is left as it is.
    """
    ranges = {**ranges, **fixed_ranges(graph)}
    for names in tied_values(graph):
        ranges |= dict.fromkeys(names, widest_range([ranges[name] for name in names]))
    return ranges


def widest_range(ranges: Iterable[ValueRange]) -> ValueRange:
    """The smallest range that holds all of `ranges`.

    Args:
        ranges: At least one range.

    Returns:
        The least low end and the greatest high end.
    """
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


@torch.no_grad()
def widen_narrow_ranges(ranges: ValueRanges, folded: Network) -> ValueRanges:
    """Widens the range of a convolution's output that hardly varies beside the sums it is made of.

    A dead layer and constant scores have such outputs. XNNPACK refuses a convolution whose sums have steps of 256 or
    more steps of its output, and LiteRT aborts the process on such a file.

    Args:
        ranges: The range of each value before the argmax, tied (`tie_ranges`).
        folded: The network, with batch norm folded into its convolutions.

    Returns:
        New ranges, tied.
    """
    narrow = True
    while narrow:  # a wider range may be another convolution's input
        narrow = False
        for op in folded.graph:
            if op.has_weights:
                layer = folded.layers[layer_name(op.name)]
                assert isinstance(layer, ConvBNAct)
                assert layer.conv.bias is not None
                scale = torch.tensor(value_scale(ranges[op.inputs[0]]))
                coarsest = scale * weight_scales(layer.conv.weight, layer.conv.bias, scale).max()
                least = float(coarsest) / MAX_STEP_RATIO
                if value_scale(ranges[op.name]) < least * 0.999:
                    narrow = True
                    low = min(ranges[op.name][0], 0.0)
                    ranges = tie_ranges({**ranges, op.name: (low, low + least * VALUE_STEPS)}, folded.graph)
    return ranges
