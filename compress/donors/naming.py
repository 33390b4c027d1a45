"""How torchvision, timm and efficientnet-lite-pytorch name the layers of MobileNetV2 and EfficientNet-Lite."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from search_spaces.known_networks import KNOWN_BACKBONES


class Layer(NamedTuple):
    """A convolution and its batch norm, by the names of their modules.

    Attributes:
        conv: The convolution.
        norm: The batch norm.
    """

    conv: str
    norm: str


Block = tuple[Layer, ...]  # expansion where there is one, depthwise convolution, projection
Stages = tuple[tuple[Block, ...], ...]


@dataclass(frozen=True)
class Naming:
    """How one library names the layers.

    Attributes:
        library: The library.
        stem: The stem.
        block: Matches what stands before the layers of a block; its groups are the block's place.
        plain: The layers of a block without expansion.
        expanded: The layers of a block with expansion.
    """

    library: str
    stem: Layer
    block: re.Pattern[str]
    plain: Block
    expanded: Block


NAMINGS = (
    Naming(
        "timm",
        Layer("conv_stem", "bn1"),
        re.compile(r"blocks\.(\d+)\.(\d+)\."),
        (Layer("conv_dw", "bn1"), Layer("conv_pw", "bn2")),
        (Layer("conv_pw", "bn1"), Layer("conv_dw", "bn2"), Layer("conv_pwl", "bn3")),
    ),
    Naming(
        "efficientnet-lite-pytorch",
        Layer("_conv_stem", "_bn0"),
        re.compile(r"_blocks\.(\d+)\."),
        (Layer("_depthwise_conv", "_bn1"), Layer("_project_conv", "_bn2")),
        (Layer("_expand_conv", "_bn0"), Layer("_depthwise_conv", "_bn1"), Layer("_project_conv", "_bn2")),
    ),
    Naming(
        "torchvision",
        Layer("features.0.0", "features.0.1"),
        re.compile(r"features\.(\d+)\.conv\."),
        (Layer("0.0", "0.1"), Layer("1", "2")),
        (Layer("0.0", "0.1"), Layer("1.0", "1.1"), Layer("2", "3")),
    ),
)
# of libraries that count blocks through: how many blocks each stage has, by the number of all blocks
DEPTHS = {sum(known.depths): known.depths for known in KNOWN_BACKBONES.values()}


@dataclass(frozen=True)
class NamedLayers:
    """The layers of a backbone in a file.

    Attributes:
        library: The library whose names they have.
        stem: The stem.
        stages: The blocks of each stage.
        unknown: Tensors of the blocks that belong to no layer, such as those of squeeze-and-excitation.
    """

    library: str
    stem: Layer
    stages: Stages
    unknown: tuple[str, ...]


def name_layers(names: Collection[str]) -> NamedLayers | None:
    """Finds the layers of a backbone among the tensors of a file.

    Args:
        names: The names of the tensors. All may have the same prefix, such as `module.`.

    Returns:
        The layers; None where no library names them so.
    """
    for naming in NAMINGS:
        stem = f"{naming.stem.conv}.weight"
        for name in names:
            if name == stem or name.endswith(f".{stem}"):
                found = _layers(naming, name.removesuffix(stem), names)
                if found is not None:
                    return found
    return None


def _layers(naming: Naming, prefix: str, names: Collection[str]) -> NamedLayers | None:
    """The layers with the names of one library; None where they do not form the stages of a known network."""
    parts: dict[str, list[str]] = {}  # what stands before the layers of a block -> its tensors
    places: dict[str, tuple[int, ...]] = {}
    for name in names:
        found = naming.block.match(name, len(prefix)) if name.startswith(prefix) else None
        if found:
            root = prefix + found.group()
            parts.setdefault(root, []).append(name)
            places[root] = tuple(map(int, found.groups()))
    blocks: dict[tuple[int, ...], Block] = {}
    unknown: list[str] = []
    for root in sorted(parts, key=places.__getitem__):
        expanded = all(f"{root}{layer.conv}.weight" in parts[root] for layer in naming.expanded)
        layers = naming.expanded if expanded else naming.plain
        block = blocks[places[root]] = tuple(Layer(root + layer.conv, root + layer.norm) for layer in layers)
        known = {module for layer in block for module in layer}
        unknown += sorted(name for name in parts[root] if name.rpartition(".")[0] not in known)
    stages = _stages(blocks)
    if not stages:
        return None
    stem = Layer(prefix + naming.stem.conv, prefix + naming.stem.norm)
    return NamedLayers(naming.library, stem, stages, tuple(unknown))


def _stages(blocks: Mapping[tuple[int, ...], Block]) -> Stages:
    """The blocks of each stage. Their places are stage and block, or the block alone."""
    if all(len(place) == 2 for place in blocks):
        stages = sorted({stage for stage, _ in blocks})
        return tuple(tuple(block for place, block in blocks.items() if place[0] == stage) for stage in stages)
    rest = iter(blocks.values())
    return tuple(tuple(islice(rest, depth)) for depth in DEPTHS.get(len(blocks), ()))
