"""Everything that samples is a trial: Optuna's own, and the ones here. A space only ever calls these two methods."""

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

Choice = TypeVar("Choice", bool, int, float, str)


class Trial(Protocol):
    """The part of `optuna.trial.Trial` that a space needs."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice: ...


class SmallestTrial:
    """Takes the first, cheapest value of everything."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        return choices[0]


class LargestTrial:
    """Takes the last, dearest value of everything."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return high

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        return choices[-1]


class RandomTrial:
    """Uniform over every value; `params` keeps what was drawn, so Optuna can be told of it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.params: dict[str, bool | int | float | str] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        value = self.rng.randrange(low, high + 1, step)
        self.params[name] = value
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        value = self.rng.choice(choices)
        self.params[name] = value
        return value
