"""Makes a network narrower until it meets the constraints."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from nas.problem import Problem
from search_spaces.backbone import RESOLUTION_SCALES, scaled_side
from search_spaces.genotype import Genotype

WIDTH_MULTIPLIERS = tuple(m / 20 for m in range(20, 1, -1))  # 1 to 0.1, widest first


@dataclass(frozen=True)
class Scaled:
    """A network at the width and the resolution that meet the constraints.

    Attributes:
        genotype: The network.
        multiplier: Its width multiplier.
    """

    genotype: Genotype
    multiplier: float


def widest(problem: Problem, made: Callable[[float, tuple[int, int]], Genotype], bound_ms: float) -> Scaled | None:
    """Finds the widest network that meets the constraints, at the largest resolution at which one meets them.

    Args:
        problem: The search problem.
        made: Makes the network of a width multiplier and a resolution (H, W) in pixels.
        bound_ms: The largest predicted latency, ms.

    Returns:
        The network; None where none meets them.
    """

    def is_feasible(genotype: Genotype) -> bool:
        costs = problem.costs(genotype)
        return problem.constraints.are_met_by(costs) and costs.latency_ms <= bound_ms

    for scale in reversed(RESOLUTION_SCALES):
        height, width = (scaled_side(side, scale) for side in problem.input_size)
        first = bisect_left(WIDTH_MULTIPLIERS, True, key=lambda one: is_feasible(made(one, (height, width))))
        for multiplier in WIDTH_MULTIPLIERS[first : first + 1]:
            return Scaled(made(multiplier, (height, width)), multiplier)
    return None
