"""Families of ops: ops whose latency may be interpolated from one another.

A family is everything about an op but its channels: kind, kernel, stride, atrous rate, image sizes. Its measured points
lie on a grid of channels. Latency is not smooth in the channels everywhere, so the curve on which the channels lie is a
part of the family too (`docs/latency.md`).
"""

from bisect import bisect_right
from dataclasses import dataclass
from math import isnan

from search_spaces.genotype import CHANNEL_STEP
from search_spaces.ops import CONV, DEPTHWISE, MUL, Op

BYTES = {"int8": 1, "float32": 4}  # of one channel of one pixel
BLOCK = 16  # output channels that most convolution kernels compute at a time
PAGE_BYTES = 4096  # data a multiple of a page, or of half a page, apart competes for the same places of the caches


def channels(op: Op) -> tuple[int, ...]:
    """The channel counts that determine how much work an op is.

    Args:
        op: One op of a graph.

    Returns:
        (input, output) channels of a full convolution; one number for every other op: its output channels, or its
        input channels where these are more (argmax).
    """
    if op.kind == CONV:
        return (op.in_shapes[0][2], op.shape[2])
    return (max(op.shape[2], op.in_shapes[0][2]),)


def curves(op: Op, precision: str) -> tuple[str, ...]:
    """The curve on which each of the op's channel counts lies.

    Latency is smooth in the channels along one curve. From one curve to another it jumps by up to 150 %.

    Args:
        op: One op of a graph.
        precision: "int8" or "float32".

    Returns:
        One name for each of `channels(op)`: "half" where the last block of output channels is half empty, "aliased"
        where pixels or rows compete for the same places of the caches, "" elsewhere.
    """
    if op.kind == CONV:
        pixel = op.in_shapes[0][2] * BYTES[precision]
        return ("aliased" if pixel % (PAGE_BYTES // 2) == 0 else "", "half" if op.shape[2] % BLOCK else "")
    if op.kind == DEPTHWISE:
        _, width, depth = op.in_shapes[0]
        row = width * depth * op.dilation * BYTES[precision]
        return ("aliased" if row % PAGE_BYTES == 0 else "",)
    return ("",)


def family(op: Op, precision: str) -> str:
    """The name of the op's family.

    The name holds channel counts only where they are no multiple of 8: the image's 3 and, often, the classes. These are
    the same in every network, so nothing is interpolated between them.

    Args:
        op: One op of a graph.
        precision: "int8" or "float32".

    Returns:
        For example `conv_k1_s1_d1_32x32_32x32_half`.
    """
    (h, w, _), (oh, ow, _) = op.in_shapes[0], op.shape
    work = f"_k{op.kernel}_s{op.stride}_d{op.dilation}" if op.has_weights else ""
    work += "_gate" if op.kind == MUL and op.in_shapes[1][:2] == (1, 1) else ""
    fixed = "".join(f"_{name}{c}" for name, c in zip(("c", "out"), channels(op), strict=False) if c % CHANNEL_STEP)
    lies = "".join(f"_{name}" for name in curves(op, precision) if name)
    return f"{op.kind}{work}_{h}x{w}_{oh}x{ow}{fixed}{lies}"


def grid_point(op: Op) -> tuple[int, ...]:
    """The op's place on its family's grid.

    Args:
        op: One op of a graph.

    Returns:
        Those of its channel counts that are a multiple of 8.
    """
    return tuple(c for c in channels(op) if c % CHANNEL_STEP == 0)


@dataclass(frozen=True)
class Family:
    """The measured points of one family.

    Attributes:
        axes: For each channel count (none to two) the measured numbers of channels, ascending.
        ms: Latency in ms at every point of the axes' product, row by row. NaN where no network of the space has an op.
        spread: Of the runs at each point: 90th less 10th percentile over the median.
    """

    axes: tuple[tuple[int, ...], ...]
    ms: tuple[float, ...]
    spread: tuple[float, ...] = ()

    def look_up(self, at: tuple[int, ...]) -> float | None:
        """Interpolates linearly between the nearest measured points.

        Args:
            at: A grid point, see `grid_point`.

        Returns:
            Milliseconds, or None outside the measured points.
        """
        places = [_place(axis, value) for axis, value in zip(self.axes, at, strict=True)]
        if any(place is None for place in places):
            return None
        values = {0: 1.0}  # index into ms -> weight
        for axis, place in zip(self.axes, places, strict=True):
            low, high, share = place or (0, 0, 0.0)
            parts = ((low, 1 - share), (high, share)) if share else ((low, 1.0),)
            values = {i * len(axis) + at: weight * part for i, weight in values.items() for at, part in parts}
        found = sum(self.ms[i] * weight for i, weight in values.items())
        return None if isnan(found) else found


def _place(axis: tuple[int, ...], value: int) -> tuple[int, int, float] | None:
    """Indices of the points around a value, and its share of the way from the first to the second."""
    if not axis[0] <= value <= axis[-1]:
        return None
    high = min(bisect_right(axis, value), len(axis) - 1)
    low = max(0, high - 1)
    if value == axis[high]:
        return high, high, 0.0
    return low, high, (value - axis[low]) / (axis[high] - axis[low])
