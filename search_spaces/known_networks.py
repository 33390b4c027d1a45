"""Networks that people build by hand: published backbones at a width multiplier, with the usual head of a space.

They are members of the spaces. A search compares its winner with them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP, Genotype, Stage, round_channels


@dataclass(frozen=True)
class KnownBackbone:
    """A published backbone of seven stages.

    Attributes:
        widths: Output channels of each stage.
        depths: Blocks of each stage.
        kernels: Sides of each stage's depthwise kernels in pixels.
        stem: Channels of the stem.
        expansion: Hidden channels for one channel of a block's input; the first block has no expansion.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    stem: int = 32
    expansion: int = 6


LITE_KERNELS = (3, 3, 5, 3, 5, 5, 3)
KNOWN_BACKBONES = {
    # Sandler et al. 2018, table 2
    "mobilenet_v2": KnownBackbone((16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1), (3,) * 7),
    # after Tan and Le 2019, with ReLU6 and without squeeze-and-excitation
    "efficientnet_lite0": KnownBackbone((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1), LITE_KERNELS),
    "efficientnet_lite1": KnownBackbone((16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1), LITE_KERNELS),
    "efficientnet_lite2": KnownBackbone((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1), LITE_KERNELS),
}


def scaled_width(channels: int, multiplier: float) -> int:
    """Scales a width by the rule of MobileNetV2 and EfficientNet.

    Args:
        channels: The width at multiplier 1.
        multiplier: The width multiplier.

    Returns:
        A multiple of 8 that is not below 90 % of the scaled width.
    """
    rounded = round_channels(channels * multiplier)
    return rounded if rounded >= 0.9 * channels * multiplier else rounded + CHANNEL_STEP


def known_backbone(
    name: str,
    multiplier: float = 1.0,
    *,
    stages: int = 7,
    max_depth: int | None = None,
    kernel: int | None = None,
    expansion: int | None = None,
) -> dict[str, Any]:
    """The backbone of a published network, scaled and, where asked, simplified.

    Args:
        name: A key of KNOWN_BACKBONES.
        multiplier: The width multiplier, more than 0.
        stages: How many stages are kept: 6 or 7.
        max_depth: The largest number of blocks of a stage; None keeps the published depths.
        kernel: The side of every depthwise kernel in pixels; None keeps the published kernels.
        expansion: Hidden channels for one channel of a block's input; None keeps the published expansion.

    Returns:
        The fields `stem` and `stages` of a genotype.

    Raises:
        InputError: There is no such backbone, or the multiplier is not positive.
    """
    if name not in KNOWN_BACKBONES:
        raise InputError(f"{name}: no known backbone; choose from {', '.join(KNOWN_BACKBONES)}")
    if not multiplier > 0:
        raise InputError(f"width multiplier {multiplier}: give a positive number")
    known = KNOWN_BACKBONES[name]
    stem = width_in = scaled_width(known.stem, multiplier)
    made = []
    for i in range(stages):
        width = scaled_width(known.widths[i], multiplier)
        ratio = (known.expansion if expansion is None else expansion) if i else 1
        depth = known.depths[i] if max_depth is None else min(known.depths[i], max_depth)
        hidden = (ratio * width_in, *(ratio * width,) * (depth - 1))
        made.append(Stage(width, known.kernels[i] if kernel is None else kernel, hidden))
        width_in = width
    return {"stem": stem, "stages": tuple(made)}


EMPTY_HEAD: Mapping[str, Any] = {
    "aspp_1x1": True,
    "aspp_rates": (),
    "image_pooling": False,
    "aspp_out": 0,
    "low_level": 0,
    "decoder": (),
    "head_stride": 4,
}


def _deeplabv1(wide: Callable[[int], int]) -> dict[str, Any]:
    return {"aspp_1x1": False, "aspp_rates": (12,), "aspp_widths": (wide(256),), "aspp_out": wide(256)}


def _deeplabv2(wide: Callable[[int], int]) -> dict[str, Any]:
    return {"aspp_1x1": False, "aspp_rates": (6, 12, 18), "aspp_widths": (wide(256),) * 3}


def _deeplabv3(wide: Callable[[int], int]) -> dict[str, Any]:
    aspp = {"aspp_rates": (6, 12, 18), "image_pooling": True, "aspp_widths": (wide(256),) * 5}
    return {**aspp, "aspp_out": wide(256)}


def _deeplabv3plus(wide: Callable[[int], int]) -> dict[str, Any]:
    return {**_deeplabv3(wide), "low_level": wide(48), "decoder": (wide(256),) * 2}


def _lraspp(wide: Callable[[int], int]) -> dict[str, Any]:
    return {"aspp_widths": (wide(128),)}


# the heads of the papers, 3x3 convolutions depthwise separable
USUAL_HEADS: Mapping[str, Callable[[Callable[[int], int]], dict[str, Any]]] = {
    "deeplabv1": _deeplabv1,
    "deeplabv2": _deeplabv2,
    "deeplabv3": _deeplabv3,
    "deeplabv3plus": _deeplabv3plus,
    "lraspp": _lraspp,
}


def usual_head(space: str, multiplier: float) -> dict[str, Any]:
    """The head that the paper of a space has, its widths scaled.

    Args:
        space: The name of a space.
        multiplier: The width multiplier.

    Returns:
        The fields of a genotype after the output stride.

    Raises:
        InputError: No usual head of this space is known.
    """
    if space not in USUAL_HEADS:
        raise InputError(f"--space {space}: no usual head is known; choose from {', '.join(USUAL_HEADS)}")
    return {**EMPTY_HEAD, **USUAL_HEADS[space](lambda channels: scaled_width(channels, multiplier))}


def known_network(
    name: str,
    multiplier: float,
    classes: int,
    resolution: tuple[int, int],
    *,
    space: str = "deeplabv3plus",
    output_stride: int = 16,
    backbone: Mapping[str, Any] | None = None,
    **head: Any,
) -> Genotype:
    """A published backbone at a width multiplier with the usual head of a space.

    Args:
        name: A key of KNOWN_BACKBONES.
        multiplier: The width multiplier of backbone and head.
        classes: The number of classes.
        resolution: The (H, W) in pixels that the network runs at.
        space: The name of the space.
        output_stride: Pixels of the image for one feature of the backbone, a side.
        backbone: The fields `stem` and `stages` in place of the published ones at this multiplier.
        head: Fields of the genotype in place of those of `usual_head`.

    Returns:
        The genotype.

    Raises:
        InputError: A name is unknown, or a value breaks a rule of genotypes.
    """
    fields = {
        **(known_backbone(name, multiplier) if backbone is None else backbone),
        **usual_head(space, multiplier),
        **head,
    }
    return Genotype(space=space, classes=classes, resolution=resolution, output_stride=output_stride, **fields)


def compact_network(
    multiplier: float,
    classes: int,
    resolution: tuple[int, int],
    *,
    space: str = "deeplabv3plus",
    max_depth: int = 2,
    head_stride: int = 1,
    **fields: Any,
) -> Genotype:
    """EfficientNet-Lite0 cut down, with features of output stride 8 and a light head.

    `runs/camvid` is one. It was made from a network that a search from random weights had found. The last stage, blocks
    past `max_depth`, the outer taps of 5x5 kernels and a third of the expansion are left out. What this saves pays for
    the finer features. ASPP keeps one atrous branch.

    Args:
        multiplier: The width multiplier of the backbone. The head's widths are fixed.
        classes: The number of classes.
        resolution: The (H, W) in pixels that the network runs at.
        space: The name of the space.
        max_depth: The largest number of blocks of a stage.
        head_stride: Pixels of the image for one pixel of the class map, a side.
        fields: Other fields of the genotype.

    Returns:
        The genotype.

    Raises:
        InputError: No usual head of the space is known, or a value breaks a rule of genotypes.
    """
    head = usual_head(space, 0.5)
    if head["image_pooling"]:
        head |= {"aspp_rates": (6,), "aspp_widths": (128,) * 3}
    if head["decoder"]:
        head |= {"low_level": 48, "decoder": (64, 64)}
    backbone = known_backbone("efficientnet_lite0", multiplier, stages=6, max_depth=max_depth, kernel=3, expansion=4)
    given = {**head, "output_stride": 8, "head_stride": head_stride, **fields}
    return known_network("efficientnet_lite0", multiplier, classes, resolution, space=space, backbone=backbone, **given)
