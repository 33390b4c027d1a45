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
    """Of the candidates, best score first, the first that meet the budget when measured on the target are finalists.
    They are refined, and the best of them then wins. Also what was measured and found. Those that would have to be
    pruned come into it only where no other meets the budget.

    Raises BudgetError when none meets it.
    """
    budget_ms = run.settings.budget_ms
    ready = [candidate for candidate in found if candidate.latency_ms <= run.settings.pruned_ms]
    tight = [candidate for candidate in found if candidate.latency_ms > run.settings.pruned_ms]
    measured: list[tuple[Candidate, float]] = []
    finalists: list[Candidate] = []
    for some in (ready, tight):
        if not finalists:
            measured += timed(run, in_turns(voted(some)) if shares_weights else some)
            finalists = [candidate for candidate, ms in measured if ms <= budget_ms]
    if not finalists:
        least = min((ms for _, ms in measured), default=float("nan"))
        raise BudgetError(
            f"none of {len(measured)} candidates meets --budget-ms {budget_ms:g} when measured: the fastest takes "
            f"{least:.2f} ms; raise the budget or give more --trials"
        )
    refined = [replace(candidate, miou=refine(candidate)) for candidate in finalists]
    best = voted(refined)[0] if shares_weights else max(refined, key=lambda one: one.miou)
    after = {candidate.genotype.id: {"refined_miou": candidate.miou} for candidate in refined}
    return best.genotype, [{**described(c, ms), **after.get(c.genotype.id, {})} for c, ms in measured]


def timed(run: Run, ranked: Sequence[Candidate]) -> list[tuple[Candidate, float]]:
    """Candidates with their measured ms, until as many are within the budget as the preset has finalists; so many are
    timed in turns."""
    budget_ms, count = run.settings.budget_ms, run.settings.schedules.finalists
    done: list[tuple[Candidate, float]] = []
    for at in range(0, len(ranked), count):
        group = ranked[at : at + count]
        latencies = run.target.measure([skeleton(graph_of(candidate.genotype)) for candidate in group])
        for candidate, latency in zip(group, latencies, strict=True):
            done.append((candidate, latency.ms))
            if sum(ms <= budget_ms for _, ms in done) == count:
                return done
    return done


def described(candidate: Candidate, ms: float) -> dict[str, Any]:
    return {
        "id": candidate.genotype.id,
        "macs": macs_of(candidate.genotype),
        "miou": candidate.miou,
        "predicted_latency_ms": candidate.latency_ms,
        "latency_ms": ms,
    }
