"""What is searched: a space at one input size, priced for the target, within constraints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from compress.latency.latency_model import LatencyModel, Price
from compress.stages.run import Run
from nas.constraints import Constraints, Costs, constraints_of
from search_spaces import Space, costs
from search_spaces.genotype import Genotype
from search_spaces.ops import Graph
from search_spaces.trials import LargestTrial, SmallestTrial


@dataclass(frozen=True)
class Problem:
    """One search problem.

    Attributes:
        space: The search space.
        latencies: Predicts the latency of a network.
        classes: The number of classes of the data set.
        input_size: Height and width of the input, pixels.
        constraints: The latency budget and the bounds on memory.
        form: Fields that every genotype has on the target, such as those of an NPU (`compress.latency.npu`).
    """

    space: Space
    latencies: LatencyModel
    classes: int
    input_size: tuple[int, int]
    constraints: Constraints
    form: Mapping[str, Any] = field(default_factory=dict)

    def genotype(self, trial: Any) -> Genotype:
        """Draws a network.

        Args:
            trial: An Optuna trial or one of `search_spaces.trials`. It chooses every value.

        Returns:
            The genotype of the network.
        """
        return replace(self.space.sample(trial, self.classes, self.input_size), **self.form)

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
            Predicted latency in ms, file size and activation memory in bytes, and what an NPU adds.

        Raises:
            InputError: The table does not cover an op of the network. The message names the op.
        """
        graph = self.space.graph(genotype)
        return costs_of(graph, self.latencies.price(graph))

    def many_costs(self, genotypes: Sequence[Genotype]) -> list[Costs]:
        """Predicts what many networks cost.

        Args:
            genotypes: Networks of the space.

        Returns:
            The costs of each.
        """
        graphs = [self.space.graph(genotype) for genotype in genotypes]
        return [costs_of(*pair) for pair in zip(graphs, self.latencies.prices(graphs), strict=True)]


def costs_of(graph: Graph, price: Price) -> Costs:
    """Puts the costs of a network together.

    Args:
        graph: The ops of the network.
        price: What it costs on the target.

    Returns:
        Its costs.
    """
    sizes = costs.size_bytes(graph), costs.arena_bytes(graph)
    return Costs(price.latency_ms, *sizes, price.sram_bytes, price.cpu_ops, price.energy_mj)


def problem_of(run: Run) -> Problem:
    """Builds the search problem of a run.

    Args:
        run: The run. Its table.json exists, or its target is an NPU.

    Returns:
        The run's space, what predicts its latencies, and its constraints.

    Raises:
        InputError: table.json is missing or damaged, or the compiler of the NPU is not installed.
    """
    return run_problem(run, run.latency_model)


def run_problem(run: Run, latencies: LatencyModel) -> Problem:
    """Builds the search problem of a run with the given latencies.

    Args:
        run: The run.
        latencies: Predicts the latency of a network.

    Returns:
        The run's space and its constraints.
    """
    config, constraints = run.config, constraints_of(run.config)
    classes, form = len(run.data.classes), run.npu.graph_form if run.npu else {}
    return Problem(run.space, latencies, classes, config.input_size, constraints, form)
