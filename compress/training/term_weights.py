"""Reads a `--loss` value: the names of losses with their weights. Imports nothing that a command line must wait for."""

from collections.abc import Mapping
from math import isfinite

from search_spaces.errors import InputError


def parse_terms(text: str, known: Mapping[str, tuple[object, float]]) -> dict[str, float]:
    """Turns `kl,cwd=3` into the weight of each term.

    Args:
        text: names of losses separated by commas, each with `=WEIGHT` where its usual weight is not wanted.
        known: what each name stands for and its usual weight.

    Returns:
        The weight of each loss, by name.

    Raises:
        InputError: a name is not known, or a weight is no number of 0 or more.
    """
    terms = {}
    for part in text.split(","):
        name, given, weight = part.strip().partition("=")
        if name not in known:
            raise InputError(f"--loss {text}: {name!r} is none; choose from {', '.join(known)}")
        try:
            terms[name] = float(weight) if given else known[name][1]
        except ValueError:
            terms[name] = -1.0
        if not (isfinite(terms[name]) and terms[name] >= 0):
            raise InputError(f"--loss {text}: {name} has the weight {weight!r}; give a number of 0 or more")
    return terms


def check_terms(text: str, names: tuple[str, ...]) -> None:
    """Raises InputError when a `--loss` value is wrong.

    Args:
        text: names of losses separated by commas, each with or without `=WEIGHT`.
        names: the names that are allowed.

    Raises:
        InputError: a name is not known, or a weight is no number of 0 or more.
    """
    parse_terms(text, {name: (name, 1.0) for name in names})
