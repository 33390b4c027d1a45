"""Some items out of many, evenly spread."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly_spread(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """Takes some items at equal distances, the first one among them.

    Args:
        items: The items.
        count: How many are taken at most.

    Returns:
        The items, in their order; all where there are no more than `count`.
    """
    count = min(count, len(items))
    return tuple(items[i * len(items) // count] for i in range(count))
