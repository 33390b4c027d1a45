"""What is searched: a space at one input size, priced by a latency table, within constraints."""

from dataclasses import dataclass
from typing import Any

from compress.latency.table import LatencyTable
from compress.stages.run import Run
from nas.constraints import Constraints, Costs, constraints_of
from search_spaces import Space, costs, get_space
from search_spaces.genotype import Genotype
from search_spaces.trials import LargestTrial, SmallestTrial


@dataclass(frozen=True)
class Problem:
    """One search problem.

    Attributes:
        space: The search space.
        table: The latency table that predicts the latency of a network.
        classes: The number of classes of the data set.
        input_size: Height and width of the input, pixels.
        constraints: The latency budget and the bounds on memory.
    """

    space: Space
    table: LatencyTable
    classes: int
    input_size: tuple[int, int]
    constraints: Constraints

    def genotype(self, trial: Any) -> Genotype:
        """Draws a network.

        Args:
            trial: An Optuna trial or one of `search_spaces.trials`. It chooses every value.

        Returns:
            The genotype of the network.
        """
        return self.space.sample(trial, self.classes, self.input_size)

    def smallest(self) -> Genotype:
        """Builds the smallest network of the space.

        Returns:
            Its genotype.
        """
        return self.genotype(SmallestTrial())

    def largest(self) -> Genotype:
        """Builds the largest network of the space.

        Returns:
            Its genotype.
        """
        return self.genotype(LargestTrial())

    def costs(self, genotype: Genotype) -> Costs:
        """Predicts what a network costs. Nothing is trained or measured.

        Args:
            genotype: A network of the space.

        Returns:
            Predicted latency in ms, file size and activation memory in bytes.

        Raises:
            InputError: The table does not cover an op of the network. The message names the op.
        """
        graph = self.space.graph(genotype)
        return Costs(self.table.predict(graph), costs.size_bytes(graph), costs.arena_bytes(graph))


def problem_of(run: Run) -> Problem:
    """Builds the search problem of a run.

    Args:
        run: The run. Its table.json exists.

    Returns:
        The run's space, table and constraints.

    Raises:
        InputError: table.json is missing or damaged.
    """
    config, constraints = run.config, constraints_of(run.config)
    return Problem(get_space(config.space), run.table, len(run.data.classes), config.input_size, constraints)
