"""Candidates of which a killed process had drawn some parameters.

A sampler draws the parameters of a candidate one by one from a seeded generator, and each is stored at once. To go on
with such a candidate as the killed process would have, the generator must stand where it stood: the stored parameters
are drawn again and the draws are thrown away.
"""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from nas.private_interfaces import fixed_params, trial_of
from search_spaces.trials import Choice


class HalfDrawnTrial:
    """A trial of `search_spaces.trials` that goes on with a candidate where a killed process stopped.

    Args:
        study: The study. Its sampler must be the one that the killed process had for this candidate.
        stored: The candidate as the study has it.
    """

    def __init__(self, study: optuna.Study, stored: FrozenTrial) -> None:
        self.trial = trial_of(study, stored)
        self.stored = stored
        self.drawn = dict(stored.params)  # a storage in memory goes on changing its own
        self.fixed = fixed_params(stored)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """Gives a stored parameter, or draws it.

        Args:
            name: The parameter.
            low: The lowest value.
            high: The highest value.
            step: The distance between two values.

        Returns:
            The value.
        """
        self._draw_again(name, IntDistribution(low, high, step=step))
        return self.trial.suggest_int(name, low, high, step=step)

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Gives a stored parameter, or draws it.

        Args:
            name: The parameter.
            choices: Its values.

        Returns:
            The value.
        """
        self._draw_again(name, CategoricalDistribution(tuple(choices)))
        found: Any = self.trial.suggest_categorical(name, choices)
        return found  # type: ignore[no-any-return]

    def _draw_again(self, name: str, distribution: BaseDistribution) -> None:
        """Takes from the sampler's generator what the killed process took for a stored parameter."""
        if name not in self.drawn or name in self.fixed or distribution.single():
            return
        if name in self.trial.relative_params:  # drawn together, when the first is asked for
            return
        self.trial.study.sampler.sample_independent(self.trial.study, self.stored, name, distribution)
