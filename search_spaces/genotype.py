"""The genotype: the frozen value that says what one network is. It is checked when it is built.

The rules of all spaces stand here. What a space chooses from stands in `backbone.py`, `heads.py` and its own file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from search_spaces.errors import InputError
from search_spaces.ops import RGB_BANDS

CHANNEL_STEP = 8  # every width is a multiple: the kernels of phone runtimes work on blocks of 8
MAX_BANDS = 16  # channels of an image, at most
MAX_ASPP_BRANCHES = 5  # XNNPACK takes no concat of more values


def round_channels(channels: float) -> int:
    """Rounds a number of channels to a multiple of 8 (`_make_divisible` of MobileNetV2, Sandler et al. 2018).

    Args:
        channels: The number.

    Returns:
        The nearest multiple of 8, at least 8.
    """
    return max(CHANNEL_STEP, int(channels + CHANNEL_STEP / 2) // CHANNEL_STEP * CHANNEL_STEP)


def _require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        raise InputError(f"genotype: {rule}, not {value!r}")


def _require_width(name: str, width: object) -> None:
    ok = isinstance(width, int) and width >= CHANNEL_STEP and width % CHANNEL_STEP == 0
    _require(ok, f"{name} must be a positive multiple of {CHANNEL_STEP}", width)


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as a dictionary without the fields that have their default value.

    So the JSON and the id of a genotype stay as they were before a field existed.
    """
    held = {field.name: (getattr(value, field.name), field.default) for field in fields(value)}
    return {name: found for name, (found, default) in held.items() if found != default}


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in value.items()}


@dataclass(frozen=True)
class Stage:
    """The inverted residuals of one stage of the backbone.

    Attributes:
        width: Output channels.
        kernel: Side of the depthwise kernel in pixels.
        hidden: Expanded channels of each block; there are as many blocks.
        swish: Whether the activation is swish (MobileNetV3) instead of ReLU6.
        squeeze: Channels between squeeze and excitation (MobileNetV3) of each block; empty without
            squeeze-and-excitation.
    """

    width: int
    kernel: int
    hidden: tuple[int, ...]
    swish: bool = False
    squeeze: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require_width("stage width", self.width)
        _require(self.kernel in (3, 5, 7), "stage kernel must be 3, 5 or 7", self.kernel)
        _require(len(self.hidden) > 0, "a stage needs at least one block", self.hidden)
        for hidden in self.hidden:
            _require_width("hidden width", hidden)
        _require(isinstance(self.swish, bool), "swish must be true or false", self.swish)
        fits = len(self.squeeze) in (0, len(self.hidden))
        _require(fits, f"squeeze must name no block or all {len(self.hidden)}", self.squeeze)
        for squeeze in self.squeeze:
            _require_width("squeeze width", squeeze)

    def __str__(self) -> str:
        squeeze = f"_se{'.'.join(map(str, self.squeeze))}" if self.squeeze else ""
        swish = "_swish" if self.swish else ""
        return f"ir_k{self.kernel}_c{self.width}_h{'.'.join(map(str, self.hidden))}{swish}{squeeze}"


@dataclass(frozen=True)
class Genotype:
    """One network of a space. A value outside the rules raises InputError.

    0 and () stand for parts that the space does not have.

    Attributes:
        space: The space's name.
        classes: The number of classes.
        resolution: The (H, W) in pixels that the network runs at.
        stem: Channels of the stem.
        stages: The stages of the backbone.
        output_stride: Pixels of the image for one feature of the backbone, a side.
        aspp_rates: Atrous rates of the ASPP branches.
        image_pooling: Whether ASPP has an image-pooling branch.
        aspp_widths: Channels of the ASPP branches in this order: 1x1, each rate, image pooling.
        aspp_out: Channels of the convolution after ASPP.
        low_level: Channels of the skip from features of stride 4.
        decoder: Channels of each convolution after the skip.
        head_stride: Pixels of the image for one pixel of the class map, a side.
        aspp_1x1: Whether ASPP has a 1x1 branch.
        separable: Whether the 3x3 convolutions of ASPP and decoder are depthwise separable instead of dense.
        doubling: Whether a value is enlarged in steps of two. Some accelerators run no other bilinear resize.
        logits: Whether the network ends in class scores instead of a class map. Some accelerators run no argmax.
        bands: Channels of the image, 1 to 16.
    """

    space: str
    classes: int
    resolution: tuple[int, int]
    stem: int
    stages: tuple[Stage, ...]
    output_stride: int
    aspp_rates: tuple[int, ...]
    image_pooling: bool
    aspp_widths: tuple[int, ...]
    aspp_out: int
    low_level: int
    decoder: tuple[int, ...]
    head_stride: int
    aspp_1x1: bool = True
    separable: bool = True
    doubling: bool = False
    logits: bool = False
    bands: int = RGB_BANDS

    def __post_init__(self) -> None:
        _require(isinstance(self.classes, int) and 2 <= self.classes <= 255, "classes must be 2 to 255", self.classes)
        bands_fit = type(self.bands) is int and 1 <= self.bands <= MAX_BANDS
        _require(bands_fit, f"bands must be 1 to {MAX_BANDS}", self.bands)
        sides_fit = len(self.resolution) == 2 and all(isinstance(s, int) and s >= 32 for s in self.resolution)
        _require(sides_fit, "resolution must be two sides of at least 32 pixels", self.resolution)
        _require(self.output_stride in (8, 16), "output_stride must be 8 or 16", self.output_stride)
        _require(self.head_stride in (1, 2, 4), "head_stride must be 1, 2 or 4", self.head_stride)
        _require(1 <= len(self.stages) <= 8, "there must be 1 to 8 stages", len(self.stages))
        rates_fit = all(isinstance(r, int) and r >= 1 for r in self.aspp_rates)
        _require(rates_fit, "aspp_rates must be positive rates", self.aspp_rates)
        for name in ("image_pooling", "aspp_1x1", "separable", "doubling", "logits"):
            _require(isinstance(getattr(self, name), bool), f"{name} must be true or false", getattr(self, name))
        branches = self.aspp_1x1 + len(self.aspp_rates) + self.image_pooling
        _require(1 <= branches <= MAX_ASPP_BRANCHES, f"there must be 1 to {MAX_ASPP_BRANCHES} ASPP branches", branches)
        _require(len(self.aspp_widths) == branches, f"aspp_widths must name {branches} branches", self.aspp_widths)
        some = self.separable or len(self.aspp_rates) + len(self.decoder) > 0
        _require(some, "separable must be true where there is no 3x3 convolution after the backbone", self.separable)
        _require_width("stem", self.stem)
        for name, width in {"aspp_out": self.aspp_out, "low_level": self.low_level}.items():
            if width != 0:
                _require_width(name, width)
        for width in (*self.aspp_widths, *self.decoder):
            _require_width("ASPP and decoder widths", width)

    def __str__(self) -> str:
        height, width = self.resolution
        branches = ["1"] * self.aspp_1x1 + [*map(str, self.aspp_rates)] + ["p"] * self.image_pooling
        aspp = f"aspp_r{'.'.join(branches)}_c{'.'.join(map(str, self.aspp_widths))}"
        aspp += f"_o{self.aspp_out}" if self.aspp_out else ""
        aspp += "" if self.separable else "_dense"
        decoder = f"-dec_l{self.low_level}_c{'.'.join(map(str, self.decoder)) or '0'}" if self.low_level else ""
        stages = "-".join(map(str, self.stages))
        end = "_x2" * self.doubling + "_logits" * self.logits
        end += "" if self.bands == RGB_BANDS else f"_b{self.bands}"
        return (
            f"{self.space}-{height}x{width}-stem{self.stem}-{stages}-os{self.output_stride}"
            f"-{aspp}{decoder}-head{self.head_stride}{end}"
        )

    def expands(self, stage: int, block: int) -> bool:
        """Whether a block has an expansion.

        With six or seven stages (MobileNetV2, EfficientNet-Lite) the very first block has none.

        Args:
            stage: The stage, from 1.
            block: The block's place in the stage, from 0.

        Returns:
            Whether it has one. Without, its hidden width is that of the stem.
        """
        return stage > 1 or block > 0 or len(self.stages) < 6

    @property
    def id(self) -> str:
        """Ten hexadecimal digits that depend only on the values."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:10]

    def to_dict(self) -> dict[str, Any]:
        """The genotype as plain JSON values.

        Returns:
            The fields by name, without those that have their default value.
        """
        plain = {**_plain(self), "stages": [_plain(stage) for stage in self.stages]}
        value: dict[str, Any] = json.loads(json.dumps(plain))
        return value

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Genotype":
        """Builds a genotype from plain JSON values.

        Args:
            value: What `to_dict` gave.

        Returns:
            The genotype.

        Raises:
            InputError: The value is not that of a genotype.
        """
        try:
            stages = tuple(Stage(**_tuples(stage)) for stage in value["stages"])
            return Genotype(**{**_tuples(value), "stages": stages})
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"genotype: not a genotype's JSON ({error}); take it from a genotype.json") from error
