"""Networks that were drawn from a space, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.constraints import Costs
from nas.problem import Problem
from search_spaces.genotype import Genotype
from search_spaces.trials import Params, Trial


class RecordingTrial(Trial, Protocol):
    """A trial that keeps what it chose in `params`."""

    params: Params


@dataclass(frozen=True)
class Draw:
    """One drawn network.

    Attributes:
        genotype: The network.
        params: The parameters by which Optuna knows it.
        costs: What it costs.
    """

    genotype: Genotype
    params: Params
    costs: Costs


def draw_with(problem: Problem, trials: Sequence[RecordingTrial]) -> list[Draw]:
    """Draws networks and predicts what they cost.

    Args:
        problem: The search problem.
        trials: What chooses the values of each network.

    Returns:
        The networks.
    """
    genotypes = [problem.genotype(trial) for trial in trials]
    costs = problem.many_costs(genotypes)
    return [Draw(g, trial.params, c) for g, trial, c in zip(genotypes, trials, costs, strict=True)]
