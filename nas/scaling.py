"""Makes a network narrower until it meets the constraints."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from nas.problem import Problem
from search_spaces.backbone import RESOLUTION_SCALES, scaled_side
from search_spaces.genotype import Genotype

# a class map of half the image's side is as good as a whole one, for a quarter of the latency (docs/pretrained.md)
KNOWN_HEAD_STRIDE = 2
WIDE_ENOUGH = 0.6  # narrower networks lose more than a smaller image does (docs/pretrained.md)
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

    def title(self, kind: str, input_size: tuple[int, int]) -> str:
        """What the network is called.

        Args:
            kind: What was made narrower.
            input_size: The input size (H, W) in pixels of the run.

        Returns:
            The name, such as `mobilenet_v2 x 0.5 at 256x256`.
        """
        height, width = resolution = self.genotype.resolution
        at = "" if resolution == input_size else f" at {height}x{width}"
        return f"{kind} x {self.multiplier:g}{at}"


def widest(problem: Problem, made: Callable[[float, tuple[int, int]], Genotype], bound_ms: float) -> Scaled | None:
    """Finds the widest network that meets the constraints.

    Of the resolutions at which its width multiplier is at least WIDE_ENOUGH, it has the largest. Where there is no such
    resolution, it has the one at which it is widest.

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

    found = []
    for scale in reversed(RESOLUTION_SCALES):
        height, width = (scaled_side(side, scale) for side in problem.input_size)
        first = bisect_left(WIDTH_MULTIPLIERS, True, key=lambda one: is_feasible(made(one, (height, width))))
        for multiplier in WIDTH_MULTIPLIERS[first : first + 1]:
            found.append(Scaled(made(multiplier, (height, width)), multiplier))
    return max(found, key=lambda one: min(one.multiplier, WIDE_ENOUGH), default=None)
