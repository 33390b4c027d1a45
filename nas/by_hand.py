"""The networks that one would make by hand: a known backbone and head, made narrower until they meet the budget.

They take part in the search as candidates. The best of them meets the search's own best in a long training
(`nas.finalists`). So the winner is at least as good as they are, by all that the search can see.
"""

from bisect import bisect_left

from nas.problem import Problem
from search_spaces.backbone import RESOLUTION_SCALES, scaled_side
from search_spaces.genotype import Genotype
from search_spaces.known_networks import USUAL_HEADS, known_network, usual_head

BACKBONES = ("mobilenet_v2", "efficientnet_lite0")
WIDTH_MULTIPLIERS = tuple(m / 20 for m in range(20, 1, -1))  # 1 to 0.1, widest first


def networks_by_hand(problem: Problem, bound_ms: float, head: float = 1.0) -> dict[str, Genotype]:
    """Finds the widest network of each known backbone that meets the constraints.

    The largest input size at which one meets them is taken.

    Args:
        problem: The search problem.
        bound_ms: The largest predicted latency, ms.
        head: The width multiplier of the head as a share of that of the backbone.

    Returns:
        The networks by name, such as `mobilenet_v2 x 0.5`. A backbone that is too slow at every width has none.
    """
    found: dict[str, Genotype] = {}
    for backbone in BACKBONES if problem.space.name in USUAL_HEADS else ():
        widest = (_widest(problem, backbone, head, scale, bound_ms) for scale in reversed(RESOLUTION_SCALES))
        found |= next((one for one in widest if one), {})
    return found


def _widest(problem: Problem, backbone: str, head: float, scale: float, bound_ms: float) -> dict[str, Genotype]:
    """The widest network at a resolution scale that meets the constraints, found by bisection; none where none does."""
    height, width = (scaled_side(side, scale) for side in problem.input_size)

    def made(multiplier: float) -> Genotype:
        return _known(problem, backbone, multiplier, head, (height, width))

    fits = bisect_left(WIDTH_MULTIPLIERS, True, key=lambda one: _is_feasible(problem, made(one), bound_ms))
    name = f"{backbone} x {{:g}}{'' if scale == 1 else f' at {height}x{width}'}"
    return {name.format(one): made(one) for one in WIDTH_MULTIPLIERS[fits : fits + 1]}


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
