"""What the table says of a space before anything is trained, and feasible genotypes to start from."""

import random
import statistics
from dataclasses import dataclass

from search_spaces import Space
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype
from search_spaces.latency_table import LatencyTable
from search_spaces.trials import Random, Smallest

SURVEYED = 1500


@dataclass(frozen=True)
class Drawn:
    """A random genotype with the parameters Optuna would know it by."""

    genotype: Genotype
    params: dict[str, bool | int | float | str]
    latency_ms: float


@dataclass(frozen=True)
class Survey:
    """Random draws of a space, fastest first, and those within the budget."""

    budget_ms: float
    drawn: tuple[Drawn, ...]

    @property
    def feasible(self) -> tuple[Drawn, ...]:
        return tuple(d for d in self.drawn if d.latency_ms <= self.budget_ms)

    def __str__(self) -> str:
        median = statistics.median(d.latency_ms for d in self.drawn)
        share = len(self.feasible) / len(self.drawn)
        return (
            f"space: {self.drawn[0].latency_ms:.2f} ms smallest drawn, {median:.2f} ms median, "
            f"{self.drawn[-1].latency_ms:.2f} ms largest drawn; {share:.0%} within {self.budget_ms:g} ms"
        )


def survey(
    space: Space, table: LatencyTable, budget_ms: float, classes: int, input_size: tuple[int, int], seed: int
) -> Survey:
    """Raises BudgetError, with the smallest network's latency, when not even that one meets the budget."""
    smallest = space.sample(Smallest(), classes, input_size)
    least = table.predict(space.graph(smallest))
    if least > budget_ms:
        raise BudgetError(
            f"no network of {space.name} meets --budget-ms {budget_ms:g}: the smallest takes {least:.2f} ms; "
            "raise the budget or lower --input-size"
        )
    rng = random.Random(seed)
    drawn = []
    for _ in range(SURVEYED):
        trial = Random(rng)
        genotype = space.sample(trial, classes, input_size)
        drawn.append(Drawn(genotype, trial.params, table.predict(space.graph(genotype))))
    found = Survey(budget_ms, tuple(sorted(drawn, key=lambda d: d.latency_ms)))
    if not found.feasible:
        drawn.append(Drawn(smallest, {}, least))
        found = Survey(budget_ms, tuple(sorted(drawn, key=lambda d: d.latency_ms)))
    return found
