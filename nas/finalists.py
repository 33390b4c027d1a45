"""How a search ends: which of its best candidates are measured and refined, and which of these wins.

Shared weights favour small networks and small images, because the training of the supernet does. Two things work
against that. Candidates are compared by their reward, which grows with the latency that a network uses. And each
resolution sends its best candidates. `benchmarks/rank_fidelity.md` shows what that is worth. In the runoff networks are
trained to the end, and their mIoU alone decides.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compress.latency.busy_machine import Latency
from compress.stages.config import Part, RunConfig
from compress.stages.run import Run
from compress.tflite.writer import random_weight_model
from nas.score import reward
from nas.study import Candidate
from search_spaces import costs, graph_of
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype

Refine = Callable[[Part, Sequence[Candidate]], list[float]]


@dataclass(frozen=True)
class Measured:
    """A candidate that was measured on the target.

    Attributes:
        candidate: The candidate.
        latency: Its latency.
        energy_mj: Its energy in mJ; None where the run measures none.
    """

    candidate: Candidate
    latency: Latency
    energy_mj: float | None = None

    def is_within(self, config: RunConfig) -> bool:
        """Whether the candidate meets the budgets as measured.

        Args:
            config: The run's settings.

        Returns:
            True when neither latency nor energy is over its budget.
        """
        fits = config.budget_mj is None or self.energy_mj is None or self.energy_mj <= config.budget_mj
        return self.latency.ms <= config.budget_ms and fits


def macs_of(genotype: Genotype) -> int:
    """Counts the work of a network.

    Args:
        genotype: The network.

    Returns:
        Its multiply-accumulate operations for one image.
    """
    return costs.macs(graph_of(genotype))


def best_reward_first(found: Sequence[Candidate], budget_ms: float) -> list[Candidate]:
    """Sorts candidates by their reward.

    Args:
        found: The candidates.
        budget_ms: The latency budget, ms.

    Returns:
        The candidates, highest reward first.
    """
    return sorted(found, key=lambda c: -reward(c.miou, c.latency_ms, budget_ms))


def resolutions_in_turns(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Lets resolutions take turns: the best of each comes first, then the second of each.

    Args:
        ranked: Candidates, best first.

    Returns:
        The same candidates in turns.
    """
    place = Counter[tuple[int, int]]()
    placed = []
    for candidate in ranked:
        resolution = candidate.genotype.resolution
        placed.append((place[resolution], candidate))
        place[resolution] += 1
    return [candidate for _, candidate in sorted(placed, key=lambda one: one[0])]


def choose_winner(
    run: Run,
    found: Sequence[Candidate],
    refine: Refine,
    shares_weights: bool,
    known: Sequence[Candidate] = (),
) -> tuple[Genotype, list[dict[str, Any]]]:
    """Measures and refines the best candidates, and chooses the winner.

    Candidates are measured on the target, best reward first. The first that meet the budget are the finalists, and so
    are the known networks. They are refined. The best finalist and the best by hand then meet in a runoff: both are
    trained to the end, and the one with the better mIoU wins. Candidates so near the budget that they would have to be
    pruned are measured only where no other meets it.

    Args:
        run: The run.
        found: The scored candidates.
        refine: Trains finalists on and gives the mIoU (0..1) of each.
        shares_weights: Whether scores come from a supernet; resolutions then take turns.
        known: The scored compact networks and those that one would make by hand.

    Returns:
        The winner, and a record of each candidate that was measured.

    Raises:
        BudgetError: No candidate was scored, or none meets the budget when measured.
    """
    genotypes = {one.genotype for one in known}
    proposed = [one for one in found if one.genotype not in genotypes]  # the study may propose one of them as well
    measured = measured_candidates(run, proposed, shares_weights)
    measured += measure_until_enough(run, best_reward_first(known, run.config.budget_ms), max(1, len(known)))
    if not any(one.is_within(run.config) for one in measured):
        raise no_finalist(run.config, measured)
    finalists = [one.candidate for one in measured if one.is_within(run.config)]
    refined = after_round("finalist", finalists, refine)
    last = after_round("train", entrants_of_runoff(refined, run.config.budget_ms), refine)
    best = max(last, key=lambda one: one.miou)
    return best.genotype, [
        {**finalist_record(one), **figures_of(one, refined, last, run.config.budget_ms)} for one in measured
    ]


def figures_of(
    one: Measured, refined: Sequence[Candidate], last: Sequence[Candidate], budget_ms: float
) -> dict[str, float]:
    """Tells how a candidate did in the rounds that it was in.

    Args:
        one: The candidate.
        refined: The refined finalists.
        last: Those of the runoff, after it.
        budget_ms: The latency budget, ms.

    Returns:
        Its mIoU (0..1) and its reward once refined, and its mIoU after the runoff.
    """
    figures: dict[str, float] = {}
    for c in refined:
        if c.genotype == one.candidate.genotype:
            figures |= {"refined_miou": c.miou, "refined_score": reward(c.miou, c.latency_ms, budget_ms)}
    for c in last:
        if c.genotype == one.candidate.genotype:
            figures |= {"runoff_miou": c.miou}
    return figures


def measured_candidates(run: Run, found: Sequence[Candidate], shares_weights: bool) -> list[Measured]:
    """Measures the best candidates that the search proposed.

    Args:
        run: The run.
        found: The scored candidates.
        shares_weights: Whether scores come from a supernet; resolutions then take turns.

    Returns:
        Each measured candidate.
    """
    ready = [candidate for candidate in found if candidate.latency_ms <= run.config.pruned_ms]
    tight = [candidate for candidate in found if candidate.latency_ms > run.config.pruned_ms]
    measured: list[Measured] = []
    for some in (ready, tight):
        if not any(one.is_within(run.config) for one in measured):
            ranked = best_reward_first(some, run.config.budget_ms)
            ranked = resolutions_in_turns(ranked) if shares_weights else ranked
            measured += measure_until_enough(run, ranked, run.config.preset_values.finalists)
    return measured


def after_round(part: Part, candidates: Sequence[Candidate], refine: Refine) -> list[Candidate]:
    """Trains finalists on.

    Args:
        part: The round.
        candidates: The finalists.
        refine: Trains them and gives the mIoU (0..1) of each.

    Returns:
        The finalists with their new mIoU.
    """
    return [replace(one, miou=miou) for one, miou in zip(candidates, refine(part, candidates), strict=True)]


def entrants_of_runoff(refined: Sequence[Candidate], budget_ms: float) -> list[Candidate]:
    """Chooses the finalists that are trained to the end.

    Args:
        refined: The refined finalists.
        budget_ms: The latency budget, ms.

    Returns:
        The best one by hand and the best of the others. Where all are of one kind, the best two.
    """
    ranked = best_reward_first(refined, budget_ms)
    of_kinds = {one.by_hand: one for one in reversed(ranked)}
    return list(of_kinds.values()) if len(of_kinds) > 1 else ranked[:2]


def no_finalist(config: RunConfig, measured: Sequence[Measured]) -> BudgetError:
    """The error of a search whose candidates are all over a budget when measured.

    Args:
        config: The run's settings.
        measured: The candidates.

    Returns:
        The error. It names the budget, and what comes nearest.
    """
    fast = [one for one in measured if one.latency.ms <= config.budget_ms]
    least_ms = min(one.latency.ms for one in measured)
    asked, nearest = f"--budget-ms {config.budget_ms:g}", f"the fastest takes {least_ms:.2f} ms"
    if fast:
        least_mj = min(one.energy_mj for one in fast if one.energy_mj is not None)
        asked, nearest = f"--budget-mj {config.budget_mj:g}", f"the least takes {least_mj:.3g} mJ"
    return BudgetError(
        f"none of {len(measured)} candidates meets {asked} when measured: {nearest}; raise the budget or give more "
        "--trials"
    )


def measure_until_enough(run: Run, ranked: Sequence[Candidate], count: int) -> list[Measured]:
    """Measures candidates until enough of them are within the budget.

    Args:
        run: The run.
        ranked: The candidates in the order in which they are measured.
        count: How many are enough. So many candidates are measured at a time.

    Returns:
        Each measured candidate.
    """
    done: list[Measured] = []
    for at in range(0, len(ranked), count):
        group = ranked[at : at + count]
        models = [random_weight_model(graph_of(candidate.genotype)) for candidate in group]
        latencies = run.target.measure(models)
        energies: list[float | None] = [None] * len(group)
        if run.config.measures_energy:
            energies = [energy.mj for energy in run.target.measure_energy(models)]
        for one in map(Measured, group, latencies, energies):
            done.append(one)
            if sum(each.is_within(run.config) for each in done) == count:
                return done
    return done


def finalist_record(one: Measured) -> dict[str, Any]:
    """Describes a measured candidate for search/finalists.json.

    Args:
        one: The candidate.

    Returns:
        The record.
    """
    candidate, latency = one.candidate, one.latency
    return {
        "id": candidate.genotype.id,
        "macs": macs_of(candidate.genotype),
        "miou": candidate.miou,
        "predicted_latency_ms": candidate.latency_ms,
        "latency_ms": latency.ms,
        **latency.mark(),
        **({} if one.energy_mj is None else {"energy_mj": one.energy_mj}),
        **({"by_hand" if candidate.by_hand else "known": candidate.name} if candidate.name else {}),
    }
