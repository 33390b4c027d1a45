"""What the table says of a space before anything is trained, and feasible genotypes to start from."""

import random
import statistics
from dataclasses import dataclass

from nas.problem import COST_FLAGS, COST_UNITS, Constraints, Costs, Problem, format_cost
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype
from search_spaces.trials import RandomTrial

SURVEYED = 1500


@dataclass(frozen=True)
class Drawn:
    """A random genotype with the parameters Optuna would know it by."""

    genotype: Genotype
    params: dict[str, bool | int | float | str]
    costs: Costs


@dataclass(frozen=True)
class Survey:
    """Random draws of a space, fastest first, and those within the limits."""

    limits: Constraints
    drawn: tuple[Drawn, ...]

    @property
    def feasible(self) -> tuple[Drawn, ...]:
        return tuple(d for d in self.drawn if self.limits.hold(d.costs))

    def __str__(self) -> str:
        latencies = [d.costs.latency_ms for d in self.drawn]
        bounds = "the limits" if len(self.limits.bounds) > 1 else f"{self.limits.budget_ms:g} ms"
        return (
            f"space: {latencies[0]:.2f} ms smallest, {statistics.median(latencies):.2f} ms median, "
            f"{latencies[-1]:.2f} ms largest drawn; {len(self.feasible) / len(self.drawn):.0%} within {bounds}"
        )


def survey(problem: Problem, seed: int) -> Survey:
    """The smallest network and random ones. Raises BudgetError, with the smallest network's figures, when not even
    that one is within the limits."""
    limits, smallest = problem.limits, problem.smallest()
    least = problem.costs(smallest)
    over = [name for name, excess in limits.excess(least).items() if excess > 0]
    if over:
        asked = ", ".join(f"{COST_FLAGS[name]} {limits.bounds[name] / COST_UNITS[name][0]:g}" for name in over)
        takes = ", ".join(format_cost(name, getattr(least, name)) for name in over)
        raise BudgetError(
            f"no network of {problem.space.name} meets {asked}: the smallest takes {takes}; "
            f"raise {', '.join(COST_FLAGS[name] for name in over)} or lower --input-size"
        )
    rng = random.Random(seed)
    drawn = [Drawn(smallest, {}, least), *(draw(problem, rng) for _ in range(SURVEYED))]
    return Survey(limits, tuple(sorted(drawn, key=lambda d: d.costs.latency_ms)))


def draw(problem: Problem, rng: random.Random) -> Drawn:
    trial = RandomTrial(rng)
    genotype = problem.genotype(trial)
    return Drawn(genotype, trial.params, problem.costs(genotype))


def feasible(problem: Problem, seed: int) -> Drawn | None:
    """A random network within the limits; None where they are too rare to be met by chance."""
    rng = random.Random(seed)
    draws = (draw(problem, rng) for _ in range(SURVEYED))
    return next((drawn for drawn in draws if problem.limits.hold(drawn.costs)), None)
