"""The compact networks that meet the budget: a backbone cut down, with finer features and a light head.

They are what the project's own long trainings favour (`search_spaces.known_networks.compact_network`).
"""

from functools import partial

from nas.problem import Problem
from nas.scaling import widest
from search_spaces.genotype import Genotype
from search_spaces.known_networks import USUAL_HEADS, compact_network

DEPTHS = (2, 3)  # largest numbers of blocks of a stage


def compact_networks(problem: Problem, bound_ms: float) -> list[Genotype]:
    """Finds the widest compact network of each depth that meets the constraints.

    Args:
        problem: The search problem.
        bound_ms: The largest predicted latency, ms.

    Returns:
        The networks. A depth that is too slow at every width has none.
    """
    if problem.space.name not in USUAL_HEADS:
        return []
    found = (widest(problem, partial(_made, problem, depth), bound_ms) for depth in DEPTHS)
    return [one.genotype for one in found if one]


def _made(problem: Problem, depth: int, multiplier: float, resolution: tuple[int, int]) -> Genotype:
    space = problem.space
    return compact_network(
        multiplier, problem.classes, resolution, space=space.name, max_depth=depth, bands=space.bands
    )
