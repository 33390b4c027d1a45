"""Which candidates are feasible. A candidate that violates a constraint is infeasible and is never trained or scored.

A latency table or the compiler of an NPU predicts the latency of a candidate, so infeasibility is known before that.
The search marks such a candidate in the study (`record_costs`). Before a search starts, `survey_space` draws random
networks: it shows how many are feasible, and the search starts from some of them (`initial_draws`).
"""

import random
import statistics
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from compress.stages.config import PRUNED_SHARE
from nas.constraints import COST_FLAGS, COST_NAMES, COST_UNITS, TARGET_COST_NAMES, Constraints, Costs, format_cost
from nas.draws import Draw, draw_with
from nas.neighbours import neighbours
from nas.problem import Problem
from search_spaces.errors import BudgetError
from search_spaces.nearby import NearbyTrial
from search_spaces.trials import Params, RandomTrial

INFEASIBLE = "refused"  # user attribute of an infeasible trial, as studies of every version have it


@dataclass(frozen=True)
class Survey:
    """Random networks of a space and the smallest one.

    Attributes:
        constraints: What a feasible network meets.
        smallest: The smallest network. It is feasible.
        drawn: All networks, fastest first; `smallest` is among them.
        nearby: Feasible networks near those by hand, nearest first (`nas.neighbours`).
    """

    constraints: Constraints
    smallest: Draw
    drawn: tuple[Draw, ...]
    nearby: tuple[Draw, ...] = ()

    @property
    def feasible(self) -> tuple[Draw, ...]:
        """The networks that meet the constraints, fastest first."""
        return tuple(d for d in self.drawn if self.constraints.are_met_by(d.costs))

    def __str__(self) -> str:
        latencies = [d.costs.latency_ms for d in self.drawn]
        bounds = "the limits" if len(self.constraints.bounds) > 1 else f"{self.constraints.budget_ms:g} ms"
        return (
            f"space: {latencies[0]:.2f} ms smallest, {statistics.median(latencies):.2f} ms median, "
            f"{latencies[-1]:.2f} ms largest drawn; {len(self.feasible) / len(self.drawn):.0%} within {bounds}"
        )


def survey_space(problem: Problem, seed: int) -> Survey:
    """Draws the smallest network and random ones, and predicts what they cost.

    Args:
        problem: The search problem.
        seed: The seed of the random networks.

    Returns:
        The survey.

    Raises:
        BudgetError: Not even the smallest network is feasible. The message has its costs and the flags to change.
    """
    constraints = problem.constraints
    (smallest,) = draw_with(problem, [NearbyTrial({}, random.Random())])  # it wants nothing, so it takes first values
    check_smallest(problem, smallest)
    rng = random.Random(seed)
    drawn = draw_with(problem, [RandomTrial(rng) for _ in range(problem.latencies.survey_draws)])
    nearby = neighbours(problem, PRUNED_SHARE * constraints.budget_ms, seed)
    return Survey(constraints, smallest, tuple(sorted([smallest, *drawn], key=lambda d: d.costs.latency_ms)), nearby)


def check_smallest(problem: Problem, smallest: Draw) -> None:
    """Refuses constraints that not even the smallest network meets.

    Args:
        problem: The search problem.
        smallest: The smallest network of the space.

    Raises:
        BudgetError: It is not feasible. The message has its costs and the flags to change.
    """
    constraints = problem.constraints
    over = [name for name, violation in constraints.violations(smallest.costs).items() if violation > 0]
    if "cpu_ops" in over:
        raise BudgetError(
            f"the NPU leaves {smallest.costs.cpu_ops} ops of the smallest network of {problem.space.name} to the CPU; "
            "give an --input-size that is a multiple of 32, or another --space"
        )
    if over:
        asked = ", ".join(f"{COST_FLAGS[name]} {constraints.bounds[name] / COST_UNITS[name][0]:g}" for name in over)
        takes = ", ".join(format_cost(name, getattr(smallest.costs, name)) for name in over)
        raise BudgetError(
            f"no network of {problem.space.name} meets {asked}: the smallest takes {takes}; "
            f"raise {', '.join(COST_FLAGS[name] for name in over)} or lower --input-size"
        )


def random_feasible_draw(problem: Problem, seed: int) -> Draw | None:
    """Draws random networks until one is feasible.

    Args:
        problem: The search problem.
        seed: The seed of the draws.

    Returns:
        The first feasible network; None when as many draws as a survey has have none.
    """
    rng = random.Random(seed)
    draws = (draw_with(problem, [RandomTrial(rng)])[0] for _ in range(problem.latencies.survey_draws))
    return next((drawn for drawn in draws if problem.constraints.are_met_by(drawn.costs)), None)


def initial_draws(survey: Survey, count: int) -> list[Params]:
    """Chooses the networks with which a study starts.

    Half of them are near networks by hand. A quarter are random draws near the budget, where the best networks mostly
    are. The others are spread over all feasible draws. Where the survey has fewer feasible random networks than
    `count`, the smallest network comes first: it is then often the only feasible one that a search meets.

    Args:
        survey: The survey of the space.
        count: How many networks are wanted. There are fewer where few draws are feasible.

    Returns:
        The parameters of each network.
    """
    nearby = survey.nearby[: count // 2]
    left = count - len(nearby)
    feasible = [d for d in survey.feasible if d is not survey.smallest]
    near = feasible[-max(1, len(feasible) // 4) :]
    half = left // 2
    chosen = [*nearby, *near[:: max(1, len(near) // max(1, half))][:half]]
    chosen += feasible[:: max(1, len(feasible) // max(1, left - half))][: left - half]
    if len(feasible) < max(1, count):
        chosen.insert(0, survey.smallest)
    return [d.params for n, d in enumerate(chosen) if d not in chosen[:n]]


def record_costs(trial: Trial, costs: Costs, constraints: Constraints) -> bool:
    """Writes a candidate's costs into the study, and marks the candidate when it is infeasible.

    Args:
        trial: The candidate's trial.
        costs: What the candidate costs.
        constraints: What a feasible candidate meets.

    Returns:
        Whether the candidate is feasible.
    """
    feasible, known = constraints.are_met_by(costs), trial.constraints
    for name, violation in constraints.violations(costs).items():
        if f"over {name}" not in known:  # a process that was killed here has set some
            trial.set_constraint(f"over {name}", violation)
    for name in (*COST_NAMES, *TARGET_COST_NAMES):
        if getattr(costs, name) is not None:
            trial.set_user_attr(f"predicted_{name}", getattr(costs, name))
    if not feasible:
        trial.set_user_attr(INFEASIBLE, True)
    return feasible


def is_infeasible(trial: FrozenTrial) -> bool:
    """Reads whether a candidate was infeasible.

    Args:
        trial: A trial of a study.

    Returns:
        Whether `record_costs` marked it.
    """
    return INFEASIBLE in trial.user_attrs


def infeasible_count(study: optuna.Study) -> int:
    """Counts the infeasible candidates of a study.

    Args:
        study: The study.

    Returns:
        How many candidates were never scored because they are infeasible.
    """
    return sum(map(is_infeasible, study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))))
