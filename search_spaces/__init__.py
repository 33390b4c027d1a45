"""Which networks exist, and what they cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

from search_spaces import deeplabv1, deeplabv2, deeplabv3, deeplabv3plus, lraspp
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.ops import RGB_BANDS, Graph
from search_spaces.trials import Trial


@dataclass(frozen=True)
class Space:
    """A family of networks.

    Attributes:
        name: What `--space` calls it.
        sample: Draws a genotype: of (trial, classes, (H, W)).
        graph: Lists the ops of a genotype.
        bands: Channels of the images that its networks take.
    """

    name: str
    sample: Callable[[Any, int, tuple[int, int]], Genotype]
    graph: Callable[[Genotype], Graph]
    bands: int = RGB_BANDS


def _space(module: ModuleType) -> Space:
    return Space(module.NAME, module.sample, module.graph)


SPACES = {module.NAME: _space(module) for module in (deeplabv1, deeplabv2, deeplabv3, deeplabv3plus, lraspp)}


def get_space(name: str, bands: int = RGB_BANDS) -> Space:
    """Finds a space.

    Args:
        name: Its name, such as `deeplabv3plus`.
        bands: Channels of the images that its networks are to take, 1 to 16.

    Returns:
        The space.

    Raises:
        InputError: There is no space of this name; the message lists them all.
    """
    if name not in SPACES:
        raise InputError(f"--space {name}: no such space; choose from {', '.join(SPACES)}")
    space = SPACES[name]
    return space if bands == space.bands else replace(space, sample=partial(_sample, space, bands), bands=bands)


def _sample(space: Space, bands: int, trial: Trial, classes: int, input_size: tuple[int, int]) -> Genotype:
    """Draws a genotype of a space for images of so many bands."""
    return replace(space.sample(trial, classes, input_size), bands=bands)


def graph_of(genotype: Genotype) -> Graph:
    """Lists the ops of a network.

    Args:
        genotype: A genotype of any space.

    Returns:
        The ops, from the image (H, W, bands) to the class map (H, W, 1) or to the logits (H, W, classes).
    """
    return get_space(genotype.space).graph(genotype)
