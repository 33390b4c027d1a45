"""Which networks exist, and what they cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from search_spaces import deeplabv1, deeplabv2, deeplabv3, deeplabv3plus, lraspp
from search_spaces.blocks import widths, with_widths
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.ops import Graph


@dataclass(frozen=True)
class Space:
    """`sample(trial, classes, (H, W))` draws a genotype, `graph(genotype)` lists its ops, `widths(genotype)` and
    `with_widths(genotype, widths)` read and change the channels that pruning may narrow."""

    name: str
    sample: Callable[[Any, int, tuple[int, int]], Genotype]
    graph: Callable[[Genotype], Graph]
    widths: Callable[[Genotype], dict[str, int]]
    with_widths: Callable[[Genotype, Mapping[str, int]], Genotype]


def _space(module: ModuleType) -> Space:
    return Space(module.NAME, module.sample, module.graph, widths, with_widths)


SPACES = {module.NAME: _space(module) for module in (deeplabv1, deeplabv2, deeplabv3, deeplabv3plus, lraspp)}


def get_space(name: str) -> Space:
    """Raises InputError that lists the spaces there are."""
    if name not in SPACES:
        raise InputError(f"--space {name}: no such space; choose from {', '.join(SPACES)}")
    return SPACES[name]


def graph_of(genotype: Genotype) -> Graph:
    """The op list of a genotype of any space."""
    return get_space(genotype.space).graph(genotype)
