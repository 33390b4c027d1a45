"""The networks that one would make by hand: a known backbone and head, made narrower until they meet the budget.

They take part in the search as candidates. The best of them meets the search's own best in a long training
(`nas.finalists`). So the winner is at least as good as they are, by all that the search can see.
"""

from functools import partial

from nas.problem import Problem
from nas.scaling import KNOWN_HEAD_STRIDE, widest
from search_spaces.genotype import Genotype
from search_spaces.known_networks import USUAL_HEADS, known_network, usual_head

BACKBONES = ("mobilenet_v2", "efficientnet_lite0")


def networks_by_hand(problem: Problem, bound_ms: float, head: float = 1.0) -> dict[str, Genotype]:
    """Finds the widest network of each known backbone that meets the constraints.

    It has the largest resolution at which it is wide enough (`nas.scaling.widest`).

    Args:
        problem: The search problem.
        bound_ms: The largest predicted latency, ms.
        head: The width multiplier of the head as a share of that of the backbone.

    Returns:
        The networks by name, such as `mobilenet_v2 x 0.5`. A backbone that is too slow at every width has none.
    """
    found: dict[str, Genotype] = {}
    for backbone in BACKBONES if problem.space.name in USUAL_HEADS else ():
        if one := widest(problem, partial(_known, problem, backbone, head), bound_ms):
            found[one.title(backbone, problem.input_size)] = one.genotype
    return found


def _known(problem: Problem, backbone: str, head: float, multiplier: float, resolution: tuple[int, int]) -> Genotype:
    """A known network whose decoder is no wider than the space has it."""
    space, most = problem.space.name, max(problem.largest().decoder, default=0)
    fields = usual_head(space, multiplier * head)
    fields |= {"decoder": tuple(min(most, width) for width in fields["decoder"]), "head_stride": KNOWN_HEAD_STRIDE}
    bands = problem.space.bands
    return known_network(backbone, multiplier, problem.classes, resolution, space=space, **fields, bands=bands)
