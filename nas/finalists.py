"""How a search ends: which of its best candidates are measured and trained, and which of these wins.

Candidates are compared by their reward, which grows with the latency that a network uses. Shared weights favour small
images, because the training of a supernet does. So where a supernet gives the scores, each resolution sends its best
candidates. `benchmarks/rank_fidelity.md` shows what that is worth. Successive halving among the finalists finds the
winner (`nas.halving`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compress.latency.busy_machine import Latency
from compress.stages.config import RunConfig
from compress.stages.run import Run
from compress.tflite.writer import random_weight_model
from nas.halving import Train, best_reward_first, halve
from nas.study import Candidate
from search_spaces import costs, graph_of
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype


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
    train: Train,
    shares_weights: bool,
    known: Sequence[Candidate] = (),
) -> tuple[Genotype, list[dict[str, Any]]]:
    """Measures and trains the best candidates, and chooses the winner.

    Candidates are measured on the target, best reward first. The first that meet the budget are the finalists, and so
    are the known networks. Successive halving finds the winner among them (`nas.halving`). Candidates so near the
    budget that they would have to be pruned are measured only where no other meets it.

    Args:
        run: The run.
        found: The scored candidates.
        train: Trains finalists up to a rung or to the end, and gives the mIoU (0..1) of each.
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
    outcome = halve(finalists, run.config.preset_values.rungs, train, run.config.budget_ms)
    return outcome.winner, [finalist_record(one, outcome.mious.get(one.candidate.genotype, {})) for one in measured]


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


def finalist_record(one: Measured, mious: Mapping[str, float]) -> dict[str, Any]:
    """Describes a measured candidate for search/finalists.json.

    Args:
        one: The candidate.
        mious: Its mIoU (0..1) by the steps that it was trained for; none where it was over the budget.

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
        "mious": dict(mious),
    }
