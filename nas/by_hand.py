"""The networks that one would make by hand: a known backbone and head, made narrower until they meet the budget.

The usual heads were made for servers and take much of a small budget. So they are also tried half and a quarter as
wide, where that leaves room for a wider backbone, which keeps more of what it learned on ImageNet. All these networks
take part in the search as candidates. The best of them meets the search's own best in a long training
(`nas.finalists`). So the winner is at least as good as they are, by all that the search can see.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from nas.problem import Problem
from search_spaces.backbone import RESOLUTION_SCALES, scaled_side
from search_spaces.genotype import Genotype
from search_spaces.known_networks import USUAL_HEADS, known_network, usual_head

BACKBONES = ("mobilenet_v2", "efficientnet_lite0")
WIDTH_MULTIPLIERS = tuple(m / 20 for m in range(20, 1, -1))  # 1 to 0.1, widest first
HEADS = (1.0, 0.5, 0.25)  # width multipliers of heads, as shares of those of the backbones


@dataclass(frozen=True)
class ByHand:
    """A known network made narrower.

    Attributes:
        name: What it is called, such as `mobilenet_v2 x 0.5, head x 0.25`.
        genotype: The network.
        backbone: How much is left of the backbone: its input's share of the input size, then its width multiplier.
    """

    name: str
    genotype: Genotype
    backbone: tuple[float, float]


def networks_by_hand(problem: Problem, bound_ms: float) -> dict[str, Genotype]:
    """Finds the widest networks of each known backbone that meet the constraints.

    The largest input size at which one meets them is taken.

    Args:
        problem: The search problem.
        bound_ms: The largest predicted latency, ms.

    Returns:
        The networks by name. A backbone that is too slow at every width has none. It has several where a lighter head
        leaves room for a wider backbone.
    """
    known = BACKBONES if problem.space.name in USUAL_HEADS else ()
    return {one.name: one.genotype for backbone in known for one in _wider_and_wider(problem, backbone, bound_ms)}


def _wider_and_wider(problem: Problem, backbone: str, bound_ms: float) -> Iterator[ByHand]:
    """The widest network with the usual head, then those with lighter heads whose backbone is wider."""
    widest = (0.0, 0.0)
    for head in HEADS:
        for scale in reversed(RESOLUTION_SCALES):
            if one := _widest(problem, backbone, head, scale, bound_ms):
                if one.backbone > widest:
                    widest = one.backbone
                    yield one
                break


def _widest(problem: Problem, backbone: str, head: float, scale: float, bound_ms: float) -> ByHand | None:
    """The widest network at a resolution scale that meets the constraints, found by bisection."""
    height, width = (scaled_side(side, scale) for side in problem.input_size)

    def made(multiplier: float) -> Genotype:
        return _known(problem, backbone, multiplier, head, (height, width))

    fits = bisect_left(WIDTH_MULTIPLIERS, True, key=lambda one: _is_feasible(problem, made(one), bound_ms))
    if fits == len(WIDTH_MULTIPLIERS):
        return None
    multiplier = WIDTH_MULTIPLIERS[fits]
    name = f"{backbone} x {multiplier:g}"
    name += "" if head == 1 else f", head x {head:g}"
    name += "" if scale == 1 else f" at {height}x{width}"
    return ByHand(name, made(multiplier), (scale, multiplier))


def _known(problem: Problem, backbone: str, multiplier: float, head: float, resolution: tuple[int, int]) -> Genotype:
    """A known network whose decoder is no wider than the space has it."""
    space, widest = problem.space.name, max(problem.largest().decoder, default=0)
    fields = usual_head(space, multiplier * head)
    fields["decoder"] = tuple(min(widest, width) for width in fields["decoder"])
    bands = problem.space.bands
    return known_network(backbone, multiplier, problem.classes, resolution, space=space, **fields, bands=bands)


def _is_feasible(problem: Problem, genotype: Genotype, bound_ms: float) -> bool:
    costs = problem.costs(genotype)
    return problem.constraints.are_met_by(costs) and costs.latency_ms <= bound_ms
