"""Successive halving: all finalists begin the training that the winner ends (Jamieson and Talwalkar 2016).

At each rung the trainings pause and the networks are scored. The better half goes on. A paused training goes on where
it stopped, so no step is taken twice. After some dozens of steps a network that keeps more of its donor is ahead, after
hundreds another one may be (docs/search.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nas.score import reward
from nas.study import Candidate
from search_spaces.genotype import Genotype

Train = Callable[[int | None, Sequence[Candidate]], list[float]]  # to a rung, or to the end: mIoU (0..1) of each
LAST = 2  # networks that are trained to the end: the best by hand is one of them
END = "end"


@dataclass(frozen=True)
class Outcome:
    """How the finalists did.

    Attributes:
        winner: The network with the best mIoU at the end.
        mious: For each finalist its mIoU (0..1) after each rung that it reached, by the rung's steps; by END after the
            last step.
    """

    winner: Genotype
    mious: dict[Genotype, dict[str, float]]


def best_reward_first(found: Sequence[Candidate], budget_ms: float) -> list[Candidate]:
    """Sorts candidates by their reward.

    Args:
        found: The candidates.
        budget_ms: The latency budget, ms.

    Returns:
        The candidates, highest reward first.
    """
    return sorted(found, key=lambda c: -reward(c.miou, c.latency_ms, budget_ms))


def halve(finalists: Sequence[Candidate], rungs: Sequence[int], train: Train, budget_ms: float) -> Outcome:
    """Trains finalists from rung to rung, the best two of them to the end.

    Args:
        finalists: The finalists; at least one.
        rungs: Steps after which they are compared, rising.
        train: Trains networks up to a rung, or to the end where it is given None, and gives the mIoU of each.
        budget_ms: The latency budget, ms.

    Returns:
        The winner, and how each one did.
    """
    mious: dict[Genotype, dict[str, float]] = {one.genotype: {} for one in finalists}
    left = list(finalists)
    for rung in (*rungs, None):
        left = [replace(one, miou=miou) for one, miou in zip(left, train(rung, left), strict=True)]
        for one in left:
            mious[one.genotype][END if rung is None else str(rung)] = one.miou
        if rung is not None:
            left = survivors(left, LAST if rung == rungs[-1] else (len(left) + 1) // 2, budget_ms)
    return Outcome(max(left, key=lambda one: one.miou).genotype, mious)


def survivors(compared: Sequence[Candidate], count: int, budget_ms: float) -> list[Candidate]:
    """Chooses the finalists that train on.

    Args:
        compared: The finalists with the mIoU of this rung.
        count: How many train on, LAST at least.
        budget_ms: The latency budget, ms.

    Returns:
        The best rewards. The best network by hand is among them, and so is the best of the others.
    """
    ranked = best_reward_first(compared, budget_ms)
    best_of_kinds = {one.by_hand: one for one in reversed(ranked)}.values()
    others = [one for one in ranked if one not in best_of_kinds]
    kept = [*best_of_kinds, *others[: max(LAST, count) - len(best_of_kinds)]]
    return [one for one in ranked if one in kept]
