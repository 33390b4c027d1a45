"""What one network is: a frozen value, checked when it is built, that survives JSON and prints short."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from search_spaces.errors import InputError

CHANNEL_STEP = 8  # every width is a multiple: the kernels of phone runtimes work on blocks of 8


def round_channels(channels: float) -> int:
    """The nearest multiple of 8, at least 8 (`_make_divisible` of MobileNetV2, Sandler et al. 2018)."""
    return max(CHANNEL_STEP, int(channels + CHANNEL_STEP / 2) // CHANNEL_STEP * CHANNEL_STEP)


def _require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        raise InputError(f"genotype: {rule}, not {value!r}")


def _require_width(name: str, width: object) -> None:
    ok = isinstance(width, int) and width >= CHANNEL_STEP and width % CHANNEL_STEP == 0
    _require(ok, f"{name} must be a positive multiple of {CHANNEL_STEP}", width)


@dataclass(frozen=True)
class Stage:
    """Inverted residuals of one resolution: `width` output channels, a depthwise `kernel`, and the
    expanded channels of each block in `hidden`, whose length is the depth."""

    width: int
    kernel: int
    hidden: tuple[int, ...]

    def __post_init__(self) -> None:
        _require_width("stage width", self.width)
        _require(self.kernel in (3, 5, 7), "stage kernel must be 3, 5 or 7", self.kernel)
        _require(len(self.hidden) > 0, "a stage needs at least one block", self.hidden)
        for hidden in self.hidden:
            _require_width("hidden width", hidden)

    def __str__(self) -> str:
        return f"ir_k{self.kernel}_c{self.width}_h{'.'.join(map(str, self.hidden))}"


@dataclass(frozen=True)
class Genotype:
    """One network of a space.

    `resolution` is the (H, W) in pixels it runs at, `aspp_widths` the channels of the ASPP branches in the
    order 1x1, one for each of `aspp_rates`, image pooling; `decoder` the channels of each depthwise
    separable convolution after the skip; the class map has `resolution / head_stride` pixels a side.
    Raises InputError for any value outside these rules.
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

    def __post_init__(self) -> None:
        _require(isinstance(self.classes, int) and 2 <= self.classes <= 255, "classes must be 2 to 255", self.classes)
        sides_fit = len(self.resolution) == 2 and all(isinstance(s, int) and s >= 32 for s in self.resolution)
        _require(sides_fit, "resolution must be two sides of at least 32 pixels", self.resolution)
        _require(self.output_stride in (8, 16), "output_stride must be 8 or 16", self.output_stride)
        _require(self.head_stride in (1, 2, 4), "head_stride must be 1, 2 or 4", self.head_stride)
        _require(1 <= len(self.stages) <= 8, "there must be 1 to 8 stages", len(self.stages))
        rates_fit = all(isinstance(r, int) and r >= 1 for r in self.aspp_rates) and len(self.aspp_rates) <= 3
        _require(rates_fit, "aspp_rates must be at most 3 positive rates", self.aspp_rates)
        branches = 1 + len(self.aspp_rates) + self.image_pooling
        _require(len(self.aspp_widths) == branches, f"aspp_widths must name {branches} branches", self.aspp_widths)
        widths = {"stem": self.stem, "aspp_out": self.aspp_out, "low_level": self.low_level}
        for name, width in widths.items():
            _require_width(name, width)
        for width in (*self.aspp_widths, *self.decoder):
            _require_width("ASPP and decoder widths", width)

    def __str__(self) -> str:
        height, width = self.resolution
        branches = ".".join(["1", *map(str, self.aspp_rates), *(["p"] if self.image_pooling else [])])
        aspp = f"aspp_r{branches}_c{'.'.join(map(str, self.aspp_widths))}_o{self.aspp_out}"
        decoder = f"dec_l{self.low_level}_c{'.'.join(map(str, self.decoder)) or '0'}"
        stages = "-".join(map(str, self.stages))
        return (
            f"{self.space}-{height}x{width}-stem{self.stem}-{stages}-os{self.output_stride}"
            f"-{aspp}-{decoder}-head{self.head_stride}"
        )

    @property
    def id(self) -> str:
        """Ten hexadecimal digits that depend on nothing but the values."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:10]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values (tuples become lists)."""
        value: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return value

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Genotype":
        """The inverse of `to_dict`; raises InputError for anything that is not a genotype."""
        try:
            fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items()}
            fields["stages"] = tuple(Stage(s["width"], s["kernel"], tuple(s["hidden"])) for s in value["stages"])
            return Genotype(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"genotype: not a genotype's JSON ({error}); take it from a genotype.json") from error
