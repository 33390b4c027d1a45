"""Samplers by the name `--sampler` knows them by: Optuna's, and nni's evolution tuner behind the same interface."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.private_interfaces import fewer_local_searches, params_drawn_by_gp
from search_spaces.errors import InputError

GP_LOCAL_SEARCHES = 2
POPULATION = 20  # of the evolutionary samplers


def _tpe(seed: int, startup: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=startup)


def _gp(seed: int, startup: int) -> BaseSampler:
    sampler = GaussianProcessSampler(seed=seed, n_startup_trials=startup)
    # of a space of some thirty discrete choices each local search takes seconds, and there are ten by default
    fewer_local_searches(sampler, GP_LOCAL_SEARCHES)
    return sampler


def _nsga2(seed: int, startup: int) -> BaseSampler:
    return NSGAIISampler(seed=seed, population_size=POPULATION)


def _nsga3(seed: int, startup: int) -> BaseSampler:
    return NSGAIIISampler(seed=seed, population_size=POPULATION)


def _random(seed: int, startup: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _evolution(seed: int, startup: int) -> BaseSampler:
    return EvolutionSampler(seed)


# name -> (seed, candidates before the sampler takes over) -> sampler
SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "nsga3": _nsga3,
    "gp": _gp,
    "random": _random,
    "evolution": _evolution,
}
SINGLE_OBJECTIVE = ("evolution",)


class GaussianProcessSampler(GPSampler):
    """Optuna's Gaussian process, which goes on with a candidate of a killed process as that process would have.

    Optuna writes the parameters that it has drawn together into the study, for other workers to see. When the candidate
    is gone on with, Optuna would take it for one that is scored elsewhere, and would draw other parameters.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws the parameters that are drawn together, unless a killed process has drawn them.

        Args:
            study: The study.
            trial: The candidate.
            search_space: The distribution of each parameter.

        Returns:
            The value of each parameter.
        """
        drawn = params_drawn_by_gp(trial)
        known = {name: value for name, value in drawn.items() if name in search_space}
        return known or super().sample_relative(study, trial, search_space)


class EvolutionSampler(BaseSampler):
    """nni's EvolutionTuner (Real et al. 2017) as a sampler of Optuna.

    Of two random members of the population, the worse one is replaced by a mutation of the better one. The tuner keeps
    its population in its process. Here the population is made anew for every candidate from the best of the study, so
    nothing is lost on resume, and several workers share one population.

    Args:
        seed: The seed of the tuner.

    Raises:
        InputError: nni is not installed.
    """

    def __init__(self, seed: int) -> None:
        try:
            from nni.algorithms.hpo.evolution_tuner import EvolutionTuner, Individual
        except ImportError as error:
            raise InputError(f'--sampler evolution: {error}; pip install "slimlab[nni]"') from error
        self.tuner, self.individual = EvolutionTuner(population_size=POPULATION), Individual
        self.seed = seed
        self.rest = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Lists the parameters that are drawn together: all that any scored candidate had.

        Args:
            study: The study.
            trial: The new candidate.

        Returns:
            The distribution of each parameter. Those of branches that the candidate lacks are drawn and not used.
        """
        return {name: d for t in _scored(study) for name, d in t.distributions.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws the parameters that are drawn together.

        Args:
            study: The study.
            trial: The new candidate.
            search_space: What `infer_relative_search_space` gave.

        Returns:
            The value of each parameter.
        """
        if not search_space:
            return {}
        choices = {name: _choices(distribution) for name, distribution in search_space.items()}
        with _seeded(self.seed):
            self.tuner.update_search_space({n: {"_type": "choice", "_value": c} for n, c in choices.items()})
            self.tuner.random_state = np.random.RandomState(self.seed)
            self.tuner.population = []
            for scored in sorted(_scored(study), key=lambda t: t.value or 0.0, reverse=True)[:POPULATION]:
                self.tuner._random_generate_individual()
                newest = self.tuner.population.pop()
                known = {
                    n: {"_index": choices[n].index(v), "_value": v} for n, v in scored.params.items() if n in choices
                }
                self.tuner.population.append(self.individual({**newest.config, **known}, result=scored.value))
            drawn: dict[str, Any] = self.tuner.generate_parameters(trial.number)
        return drawn

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draws a parameter that no scored candidate had.

        Args:
            study: The study.
            trial: The new candidate.
            param_name: The parameter.
            param_distribution: Its distribution.

        Returns:
            A random value.
        """
        return self.rest.sample_independent(study, trial, param_name, param_distribution)


def _scored(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _choices(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution)
    return list(range(distribution.low, distribution.high + 1, distribution.step))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The tuner draws from Python's global generator and from NumPy's fresh ones."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
