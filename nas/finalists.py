"""How a search ends: which of its best candidates are measured and refined, and which of these wins.

Shared weights favour what the supernet's training favoured, small networks and small images. So the size of a network
has a vote beside its score, as cheap proxies vote in Abdelfattah et al. 2021 (Zero-Cost Proxies for Lightweight NAS),
and each resolution sends its best. benchmarks/rank_fidelity.md has what that is worth.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from compress.skeleton import skeleton
from compress.stage import Run
from nas.study import Candidate
from search_spaces import costs, graph_of
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype


def macs_of(genotype: Genotype) -> int:
    return costs.macs(graph_of(genotype))


def votes(mious: ArrayLike, macs: ArrayLike) -> np.ndarray:
    """For each network, more for a better one: its rank by mIoU and its rank by MACs, added."""
    return np.asarray(rankdata(mious) + rankdata(macs))


def voted(found: Sequence[Candidate]) -> list[Candidate]:
    """Most votes first; of as many, the better mIoU first."""
    counted = zip(votes([c.miou for c in found], [macs_of(c.genotype) for c in found]), found, strict=True)
    return [candidate for _, candidate in sorted(counted, key=lambda one: (-one[0], -one[1].miou))]


def in_turns(ranked: Sequence[Candidate]) -> list[Candidate]:
    """The first of each resolution, then the second of each."""
    place = Counter[tuple[int, int]]()
    placed = []
    for candidate in ranked:
        resolution = candidate.genotype.resolution
        placed.append((place[resolution], candidate))
        place[resolution] += 1
    return [candidate for _, candidate in sorted(placed, key=lambda one: one[0])]


def choose(
    run: Run, found: Sequence[Candidate], refine: Callable[[Candidate], float], shares_weights: bool
) -> tuple[Genotype, list[dict[str, Any]]]:
    """Of the candidates, best score first, the finalists: those that meet the budget when measured on the target are
    refined, and the winner is the best of them then. Also what was measured and found.

    Raises BudgetError when none meets it.
    """
    count = run.settings.schedules.finalists
    finalists: list[dict[str, Any]] = []
    ranked = in_turns(voted(found)) if shares_weights else found
    for at in range(0, len(ranked), count):
        group = ranked[at : at + count]
        latencies = run.target.measure([skeleton(graph_of(candidate.genotype)) for candidate in group])
        refined: list[Candidate] = []
        for c, latency in zip(group, latencies, strict=True):
            figures = {"miou": c.miou, "predicted_latency_ms": c.latency_ms, "latency_ms": latency.ms}
            if latency.ms <= run.settings.budget_ms:
                refined.append(replace(c, miou=refine(c)))
                figures["refined_miou"] = refined[-1].miou
            finalists.append({"id": c.genotype.id, "macs": macs_of(c.genotype), **figures})
        if refined:
            best = voted(refined)[0] if shares_weights else max(refined, key=lambda one: one.miou)
            return best.genotype, finalists
    least = min((f["latency_ms"] for f in finalists), default=float("nan"))
    raise BudgetError(
        f"none of {len(finalists)} candidates meets --budget-ms {run.settings.budget_ms:g} when measured: the fastest "
        f"takes {least:.2f} ms; raise the budget or give more --trials"
    )
