"""How a search ends: which of its best candidates are measured and refined, and which of these wins.

Shared weights favour what the supernet's training favoured, small networks and small images. So candidates are compared
by their reward, which leans to those that use the budget, and each resolution sends its best. What that is worth is in
benchmarks/rank_fidelity.md.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from compress.stages.run import Run
from compress.tflite.writer import random_weight_model
from nas.score import reward
from nas.study import Candidate
from search_spaces import costs, graph_of
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype


def macs_of(genotype: Genotype) -> int:
    return costs.macs(graph_of(genotype))


def by_reward(found: Sequence[Candidate], budget_ms: float) -> list[Candidate]:
    """Best first."""
    return sorted(found, key=lambda c: -reward(c.miou, c.latency_ms, budget_ms))


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
    """Of the candidates, best reward first, the first that meet the budget when measured on the target are finalists.
    They are refined, and the best of them then wins. Also what was measured and found. Those that would have to be
    pruned come into it only where no other meets the budget.

    Raises BudgetError when none meets it.
    """
    budget_ms = run.config.budget_ms
    ready = [candidate for candidate in found if candidate.latency_ms <= run.config.pruned_ms]
    tight = [candidate for candidate in found if candidate.latency_ms > run.config.pruned_ms]
    measured: list[tuple[Candidate, float]] = []
    finalists: list[Candidate] = []
    for some in (ready, tight):
        if not finalists:
            ranked = by_reward(some, budget_ms)
            measured += timed(run, in_turns(ranked) if shares_weights else ranked)
            finalists = [candidate for candidate, ms in measured if ms <= budget_ms]
    if not finalists:
        least = min((ms for _, ms in measured), default=float("nan"))
        raise BudgetError(
            f"none of {len(measured)} candidates meets --budget-ms {budget_ms:g} when measured: the fastest takes "
            f"{least:.2f} ms; raise the budget or give more --trials"
        )
    refined = [replace(candidate, miou=refine(candidate)) for candidate in finalists]
    best = by_reward(refined, budget_ms)[0]
    after = {
        c.genotype.id: {"refined_miou": c.miou, "refined_score": reward(c.miou, c.latency_ms, budget_ms)}
        for c in refined
    }
    return best.genotype, [{**described(c, ms), **after.get(c.genotype.id, {})} for c, ms in measured]


def timed(run: Run, ranked: Sequence[Candidate]) -> list[tuple[Candidate, float]]:
    """Candidates with their measured ms, until as many are within the budget as the preset has finalists; so many are
    timed in turns."""
    budget_ms, count = run.config.budget_ms, run.config.preset_values.finalists
    done: list[tuple[Candidate, float]] = []
    for at in range(0, len(ranked), count):
        group = ranked[at : at + count]
        latencies = run.target.measure([random_weight_model(graph_of(candidate.genotype)) for candidate in group])
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
