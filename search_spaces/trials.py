"""Everything that samples is a trial: Optuna's own, and the ones here. A space only ever calls these two methods."""

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

Choice = TypeVar("Choice", bool, int, float, str)
Params = dict[str, bool | int | float | str]  # what a trial chose, by name


class Trial(Protocol):
    """The part of `optuna.trial.Trial` that a space needs."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """Chooses a whole number.

        Args:
            name: What is chosen.
            low: The smallest value.
            high: The largest value.
            step: The distance between two values.

        Returns:
            The value.
        """

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Chooses one of several values.

        Args:
            name: What is chosen.
            choices: The values, from the cheapest to the dearest.

        Returns:
            The value.
        """


class SmallestTrial:
    """Chooses the first value of everything, which is the cheapest."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """Chooses the smallest number.

        Args:
            name: What is chosen.
            low: The smallest value.
            high: The largest value.
            step: The distance between two values.

        Returns:
            `low`.
        """
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Chooses the first value.

        Args:
            name: What is chosen.
            choices: The values, from the cheapest to the dearest.

        Returns:
            The cheapest value.
        """
        return choices[0]


class LargestTrial:
    """Chooses the last value of everything, which is the dearest."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """Chooses the largest number.

        Args:
            name: What is chosen.
            low: The smallest value.
            high: The largest value.
            step: The distance between two values.

        Returns:
            `high`.
        """
        return high

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Chooses the last value.

        Args:
            name: What is chosen.
            choices: The values, from the cheapest to the dearest.

        Returns:
            The dearest value.
        """
        return choices[-1]


class RandomTrial:
    """Chooses uniformly among all values.

    Attributes:
        rng: Where the choices come from.
        params: The chosen values by name, so that Optuna can be told of them.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.params: Params = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """Draws a number.

        Args:
            name: What is chosen.
            low: The smallest value.
            high: The largest value.
            step: The distance between two values.

        Returns:
            The number.
        """
        value = self.rng.randrange(low, high + 1, step)
        self.params[name] = value
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Draws a value.

        Args:
            name: What is chosen.
            choices: The values, from the cheapest to the dearest.

        Returns:
            The value.
        """
        value = self.rng.choice(choices)
        self.params[name] = value
        return value
