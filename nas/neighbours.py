"""Networks of the space near those that are known to be good: compact networks and those that one would make by hand.

Known networks are a good place to start from: their proportions were chosen by long trainings, which a search of
minutes cannot repeat. The heads of those by hand were made for large backbones, so lighter heads are tried too, which
leave more of the budget to the backbone. A neighbour has most choices of such a network, and some moved one step.
"""

import random

from nas.by_hand import networks_by_hand
from nas.compact import compact_networks
from nas.draws import Draw, draw_with
from nas.problem import Problem
from search_spaces.genotype import Genotype
from search_spaces.nearby import NearbyTrial, choices_of

HEADS = (1.0, 0.5, 0.25)  # width multipliers of heads, as shares of those of the backbones
DRAWS = 20  # near each network
MOVED = 0.1  # chance with which a choice moves


def neighbours(problem: Problem, bound_ms: float, seed: int) -> tuple[Draw, ...]:
    """Draws feasible networks near compact networks and those by hand.

    Args:
        problem: The search problem.
        bound_ms: The largest predicted latency of the networks that others are near to, ms.
        seed: The seed of the draws.

    Returns:
        The networks. First come the compact networks, then the nearest network of each one by hand, and of those with
        lighter heads. The others follow in turns, slowest first, because the best networks mostly are near the budget.
    """
    rng = random.Random(f"{seed} neighbours")
    nearest: list[Draw] = []
    moved: list[list[Draw]] = []
    by_hand = [one for head in HEADS for one in networks_by_hand(problem, bound_ms, head).values()]
    for known in [*compact_networks(problem, bound_ms).values(), *by_hand]:
        wanted = choices_of(known, problem.input_size)
        first, *others = draw_with(
            problem, [NearbyTrial(wanted, rng, moved=0.0), *(NearbyTrial(wanted, rng, MOVED) for _ in range(DRAWS))]
        )
        nearest += feasible(problem, [first])
        moved.append(sorted(feasible(problem, others), key=lambda drawn: -drawn.costs.latency_ms))
    in_turns = sorted(((place, drawn) for draws in moved for place, drawn in enumerate(draws)), key=lambda one: one[0])
    once: dict[Genotype, Draw] = {}
    for drawn in [*nearest, *(one for _, one in in_turns)]:
        once.setdefault(drawn.genotype, drawn)
    return tuple(once.values())


def feasible(problem: Problem, draws: list[Draw]) -> list[Draw]:
    """Keeps the networks that meet the constraints.

    Args:
        problem: The search problem.
        draws: The networks.

    Returns:
        Those that meet them.
    """
    return [drawn for drawn in draws if problem.constraints.are_met_by(drawn.costs)]
