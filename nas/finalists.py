"""How a search ends: which of its best candidates are measured and refined, and which of these wins."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from compress.skeleton import skeleton
from compress.stage import Run
from nas.study import Candidate
from search_spaces import graph_of
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype


def in_turns(found: Sequence[Candidate]) -> list[Candidate]:
    """The best of each resolution, then the second best of each
    (`nas.search_settings.SearchSettings.resolutions_take_turns`)."""
    place = Counter[tuple[int, int]]()
    ranked = []
    for candidate in found:
        resolution = candidate.genotype.resolution
        ranked.append((place[resolution], candidate))
        place[resolution] += 1
    return [candidate for _, candidate in sorted(ranked, key=lambda one: one[0])]


def choose(
    run: Run, found: Sequence[Candidate], refine: Callable[[Candidate], float]
) -> tuple[Genotype, list[dict[str, Any]]]:
    """Of the best candidates, the finalists, those that meet the budget when measured on the target are refined; the
    winner is then the best. Also what was measured and found.

    Raises BudgetError when none meets it.
    """
    count = run.settings.schedules.finalists
    finalists: list[dict[str, Any]] = []
    for at in range(0, len(found), count):
        group = found[at : at + count]
        latencies = run.target.measure([skeleton(graph_of(candidate.genotype)) for candidate in group])
        refined: list[tuple[float, Genotype]] = []
        for c, latency in zip(group, latencies, strict=True):
            figures = {"miou": c.miou, "predicted_latency_ms": c.latency_ms, "latency_ms": latency.ms}
            if latency.ms <= run.settings.budget_ms:
                refined.append((refine(c), c.genotype))
                figures["refined_miou"] = refined[-1][0]
            finalists.append({"id": c.genotype.id, **figures})
        if refined:
            return max(refined, key=lambda one: one[0])[1], finalists
    least = min((f["latency_ms"] for f in finalists), default=float("nan"))
    raise BudgetError(
        f"none of {len(finalists)} candidates meets --budget-ms {run.settings.budget_ms:g} when measured: the fastest "
        f"takes {least:.2f} ms; raise the budget or give more --trials"
    )
