"""Plans which single ops are measured for a latency table."""

import random
from collections.abc import Sequence
from itertools import product

from compress.latency.families import channels, curves, family, grid_point
from compress.latency.spec import TableSpec
from search_spaces.genotype import CHANNEL_STEP, round_channels
from search_spaces.ops import ADD, ARGMAX, CONCAT, MUL, Op
from search_spaces.trials import LargestTrial, RandomTrial, SmallestTrial

RATIO = 2.1  # of one measured point's channels to the next
WIDEST_DRAWS, RANDOM_DRAWS = 1500, 500  # networks whose ops are covered


class WidestTrial(RandomTrial):
    """Draws every choice at random and takes the largest of every number. Every op of the space is as wide as an op of
    such a network, or narrower."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """The largest value; arguments as Optuna's.

        Args:
            name: The parameter's name.
            low: Its smallest value.
            high: Its largest value.
            step: The distance of its values.

        Returns:
            `high`.
        """
        return high


def plan_ops(spec: TableSpec) -> dict[str, list[Op]]:
    """The ops to measure: grid points around all channel counts of the space, and down to the 8 channels that pruning
    may leave.

    Args:
        spec: What the table is to hold true of.

    Returns:
        The ops of each family, by its name.
    """
    rng = random.Random(0)
    trials = [
        SmallestTrial(),
        LargestTrial(),
        *(WidestTrial(rng) for _ in range(WIDEST_DRAWS)),
        *(RandomTrial(rng) for _ in range(RANDOM_DRAWS)),
    ]
    reached: dict[tuple[object, ...], dict[tuple[int, ...], Op]] = {}  # by size of image and kernel
    for trial in trials:
        for op in spec.space.graph(spec.space.sample(trial, spec.classes, spec.input_size)):
            sizes = (frozenset(shape[:2] for shape in op.in_shapes), op.shape[:2])
            size = (op.kind, op.kernel, op.stride, op.dilation, *sizes, len(grid_point(op)))
            reached.setdefault(size, {}).setdefault(grid_point(op), op)
    plan: dict[str, list[Op]] = {}
    for ops in reached.values():
        for op in _grid(list(ops.values()), spec.precision):
            plan.setdefault(family(op, spec.precision), []).append(op)
    return dict(sorted(plan.items()))


def _grid(ops: Sequence[Op], precision: str) -> list[Op]:
    """The points of a grid for each combination of curves on which ops of one size may lie."""
    places = [grid_point(op) for op in ops]
    if not places[0]:
        return [ops[0]]
    ends = [max(axis) for axis in zip(*places, strict=True)]
    axes_by_curve = [_axis_by_curve(ops[0], ends, i, precision) for i in range(len(ends))]
    found = []
    for axes in product(*axes_by_curve):
        corners = {tuple(_ceiling(axis, c) for axis, c in zip(axes, place, strict=True)) for place in places}
        for point in product(*axes):
            if any(all(a <= b for a, b in zip(point, corner, strict=True)) for corner in corners):
                found.append(with_channels(ops[0], point))
    return found


def _axis_by_curve(op: Op, ends: Sequence[int], i: int, precision: str) -> list[list[int]]:
    """Channels to measure along axis `i`, up to its end: one list for each curve on which they lie."""
    by_curve: dict[str, list[int]] = {}
    for width in range(CHANNEL_STEP, ends[i] + 1, CHANNEL_STEP):
        moved = with_channels(op, (*ends[:i], width, *ends[i + 1 :]))
        on = zip(curves(moved, precision), channels(moved), strict=True)
        free = [name for name, c in on if c % CHANNEL_STEP == 0]
        by_curve.setdefault(free[i], []).append(width)
    return [_thinned(widths) for widths in by_curve.values()]


def _thinned(widths: Sequence[int]) -> list[int]:
    kept = [widths[0]]
    for width in widths[1:]:
        if width >= kept[-1] * RATIO or width == widths[-1]:
            kept.append(width)
    return kept


def _ceiling(axis: Sequence[int], value: int) -> int:
    return next((point for point in axis if point >= value), axis[-1])


def with_channels(op: Op, at: tuple[int, ...]) -> Op:
    """The same work with other channels.

    Args:
        op: One op of a graph.
        at: A grid point: the new values of those channel counts that are a multiple of 8.

    Returns:
        An op of the same kind and image size.
    """
    (h, w, _), (oh, ow, _) = op.in_shapes[0], op.shape
    values = iter(at)
    new = [next(values) if c % CHANNEL_STEP == 0 else c for c in channels(op)]
    if op.kind == CONCAT:  # two halves stand for any number of parts: the bytes moved are the same
        half = max(CHANNEL_STEP, round_channels(new[0] / 2))
        parts = (half, max(CHANNEL_STEP, new[0] - half))
        return op._replace(inputs=("a", "b"), in_shapes=tuple((h, w, c) for c in parts), shape=(oh, ow, sum(parts)))
    if op.kind in (ADD, MUL):
        shapes = tuple((*shape[:2], new[0]) for shape in op.in_shapes)
        return op._replace(inputs=("a", "b"), in_shapes=shapes, shape=(oh, ow, new[0]))
    return op._replace(in_shapes=((h, w, new[0]),), shape=(oh, ow, 1 if op.kind == ARGMAX else new[-1]))
