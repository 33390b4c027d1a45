"""What is searched: a space at one input size, priced by a latency table, within limits."""

from dataclasses import dataclass
from typing import Any

from compress.latency.table import LatencyTable
from compress.stages.config import RunConfig
from compress.stages.run import Run
from search_spaces import Space, costs, get_space
from search_spaces.genotype import Genotype
from search_spaces.trials import LargestTrial, SmallestTrial

COST_UNITS = {"latency_ms": (1, "ms"), "size_bytes": (1024, "KiB of file"), "arena_bytes": (1024, "KiB of activations")}
COST_FLAGS = {"latency_ms": "--budget-ms", "size_bytes": "--max-size-kib", "arena_bytes": "--max-arena-kib"}


@dataclass(frozen=True)
class Costs:
    """Of one network as int8: predicted ms, bytes of the file, bytes of activations alive at once."""

    latency_ms: float
    size_bytes: int
    arena_bytes: int


@dataclass(frozen=True)
class Constraints:
    """The latency budget, and bounds on memory where the user gives them."""

    budget_ms: float
    size_bytes: float | None = None
    arena_bytes: float | None = None

    @property
    def bounds(self) -> dict[str, float]:
        bounds = {"latency_ms": self.budget_ms, "size_bytes": self.size_bytes, "arena_bytes": self.arena_bytes}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    @staticmethod
    def of(config: RunConfig) -> "Constraints":
        """The constraints of a run.

        Args:
            config: the run's settings.

        Returns:
            The budget in ms and the bounds in bytes.
        """
        size, arena = (None if kib is None else kib * 1024 for kib in (config.max_size_kib, config.max_arena_kib))
        return Constraints(config.budget_ms, size, arena)

    def excess(self, found: Costs) -> dict[str, float]:
        """By how much each limit is exceeded; 0 or less is within."""
        return {name: getattr(found, name) - bound for name, bound in self.bounds.items()}

    def hold(self, found: Costs) -> bool:
        return all(over <= 0 for over in self.excess(found).values())


@dataclass(frozen=True)
class Problem:
    """`genotype(trial)` draws a network, `costs(genotype)` says what it takes before anything is trained."""

    space: Space
    table: LatencyTable
    classes: int
    input_size: tuple[int, int]
    limits: Constraints

    def genotype(self, trial: Any) -> Genotype:
        return self.space.sample(trial, self.classes, self.input_size)

    def smallest(self) -> Genotype:
        return self.genotype(SmallestTrial())

    def largest(self) -> Genotype:
        return self.genotype(LargestTrial())

    def costs(self, genotype: Genotype) -> Costs:
        """Raises InputError that names an op the table does not cover."""
        graph = self.space.graph(genotype)
        return Costs(self.table.predict(graph), costs.size_bytes(graph), costs.arena_bytes(graph))


def problem_of(run: Run) -> Problem:
    """The problem of a run that has its latency table.

    Args:
        run: the run.

    Returns:
        The run's space, table and constraints.
    """
    config = run.config
    return Problem(get_space(config.space), run.table, len(run.data.classes), config.input_size, Constraints.of(config))


def format_cost(name: str, value: float) -> str:
    """A cost in its unit: `3.21 ms`, `120.00 KiB of file`."""
    divisor, unit = COST_UNITS[name]
    return f"{value / divisor:.2f} {unit}"
