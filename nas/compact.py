"""The compact networks that meet the budget: a backbone cut down, with finer features and a light head.

They are what the project's own long trainings favour (`search_spaces.known_networks.compact_network`).
"""

from functools import partial

from nas.problem import Problem
from nas.scaling import KNOWN_HEAD_STRIDE, widest
from search_spaces.genotype import Genotype
from search_spaces.known_networks import USUAL_HEADS, compact_network

DEPTHS = (2, 3)  # largest numbers of blocks of a stage


def compact_networks(problem: Problem, bound_ms: float) -> dict[str, Genotype]:
    """Finds the widest compact network of each depth that meets the constraints.

    Args:
        problem: The search problem.
        bound_ms: The largest predicted latency, ms.

    Returns:
        The networks by name, such as `compact, depth 2 x 0.85`. A depth that is too slow at every width has none.
    """
    found: dict[str, Genotype] = {}
    for depth in DEPTHS if problem.space.name in USUAL_HEADS else ():
        if one := widest(problem, partial(_made, problem, depth), bound_ms):
            found[one.title(f"compact, depth {depth}", problem.input_size)] = one.genotype
    return found


def _made(problem: Problem, depth: int, multiplier: float, resolution: tuple[int, int]) -> Genotype:
    return compact_network(
        multiplier,
        problem.classes,
        resolution,
        space=problem.space.name,
        max_depth=depth,
        head_stride=KNOWN_HEAD_STRIDE,
        bands=problem.space.bands,
    )
