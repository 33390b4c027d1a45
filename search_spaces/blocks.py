"""What the spaces have in common: the backbone of inverted residuals, ASPP, decoder and class map; and the choices and
widths that go with them.

Choices are listed from cheapest to dearest, so the first of each is the smallest network and the last the
largest (`search_spaces.trials`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from search_spaces.errors import InputError
from search_spaces.genotype import Genotype, Stage, round_channels
from search_spaces.ops import CLASSIFIER, INPUT, Builder, Graph
from search_spaces.trials import Trial

RESOLUTION_SCALE = "resolution_scale"  # what a trial is asked for
RESOLUTION_SCALES = (0.5, 0.75, 1.0)
EXPANSIONS = (2, 3, 4, 6)
SQUEEZE = 4  # expanded channels for one squeezed channel (MobileNetV3)
# Atrous rates each ASPP branch may take; the branches stay in order, so no set of rates has two spellings.
BRANCH_RATES = ((2, 4, 6), (6, 9, 12), (12, 18, 24))
BACKBONE_STRIDES = (1, 2, 2, 2, 2)  # of the stages, after the stem's 2
HEAD_STRIDES = (4, 2, 1)
OPTIONAL = ("aspp_1x1", "image_pooling", "aspp_out", "low_level", "decoder")  # what a space may not have


@dataclass(frozen=True)
class StageRange:
    """The widths (low, high) in steps of 8 and the largest depth of a stage."""

    low: int
    high: int
    depth: int


STAGE_RANGES = (
    StageRange(8, 32, 1),
    StageRange(16, 48, 3),
    StageRange(24, 80, 3),
    StageRange(48, 144, 4),
    StageRange(64, 256, 3),
)


def sample_backbone(trial: Trial, input_size: tuple[int, int], mobilenetv3: bool) -> dict[str, Any]:
    """The fields of a genotype up to the output stride. With `mobilenetv3` each stage may choose swish
    and squeeze-and-excitation (Howard et al. 2019)."""
    scale = trial.suggest_categorical(RESOLUTION_SCALE, RESOLUTION_SCALES)
    resolution = (scaled_side(input_size[0], scale), scaled_side(input_size[1], scale))
    stem = trial.suggest_int("stem", 8, 32, step=8)
    stages, width_in = [], stem
    for i, allowed in enumerate(STAGE_RANGES, start=1):
        width = trial.suggest_int(f"stage{i}_width", allowed.low, allowed.high, step=8)
        depth = trial.suggest_int(f"stage{i}_depth", 1, allowed.depth)
        expansion = trial.suggest_categorical(f"stage{i}_expansion", EXPANSIONS)
        kernel = trial.suggest_categorical(f"stage{i}_kernel", (3, 5))
        swish = mobilenetv3 and trial.suggest_categorical(f"stage{i}_swish", (False, True))
        squeezed = mobilenetv3 and trial.suggest_categorical(f"stage{i}_squeeze", (False, True))
        hidden = [round_channels(expansion * (width_in if block == 0 else width)) for block in range(depth)]
        squeeze = [round_channels(channels / SQUEEZE) for channels in hidden if squeezed]
        stages.append(Stage(width, kernel, tuple(hidden), swish, tuple(squeeze)))
        width_in = width
    output_stride = trial.suggest_categorical("output_stride", (16, 8))
    return {"resolution": resolution, "stem": stem, "stages": tuple(stages), "output_stride": output_stride}


def scaled_side(side: int, scale: float) -> int:
    """A side of the input size at a resolution scale: the nearest multiple of 32, at least 32 pixels; the
    full side stays as the user gave it."""
    return side if scale == 1.0 else max(32, round(side * scale / 32) * 32)


def sample_aspp(trial: Trial) -> dict[str, Any]:
    """The fields of a genotype that say what DeepLabV3's ASPP is."""
    branches = trial.suggest_int("aspp_branches", 0, len(BRANCH_RATES))
    rates = [trial.suggest_categorical(f"aspp_rate{i}", BRANCH_RATES[i - 1]) for i in range(1, branches + 1)]
    pooling = trial.suggest_categorical("image_pooling", (False, True))
    width = trial.suggest_int("aspp_width", 32, 256, step=32)
    return {
        "aspp_rates": tuple(rates),
        "image_pooling": pooling,
        "aspp_widths": (width,) * (1 + branches + pooling),
        "aspp_out": width,
    }


def require_parts(g: Genotype, rates: range, needs: Collection[str], may: Collection[str] = ()) -> None:
    """Raises InputError that names the part of a genotype that its space lacks, or lacks itself: of OPTIONAL it must
    have `needs`, may have `may` and has no other."""
    if len(g.aspp_rates) not in rates:
        counts = " to ".join(map(str, sorted({rates[0], rates[-1]})))
        raise InputError(f"genotype: {g.space} takes {counts} atrous rates, not {g.aspp_rates}")
    for part in OPTIONAL:
        value = getattr(g, part)
        if part not in may and bool(value) != (part in needs):
            raise InputError(f"genotype: {g.space} {'needs' if part in needs else 'has no'} {part}; given is {value}")


def backbone(b: Builder, g: Genotype, skip_stride: int = 4) -> tuple[str, str]:
    """The features at `skip_stride` and at the output stride. Past the output stride, stride becomes atrous rate.
    Raises InputError for another number of stages than the spaces have."""
    if len(g.stages) != len(BACKBONE_STRIDES):
        raise InputError(f"genotype: {g.space} has {len(BACKBONE_STRIDES)} stages, not {len(g.stages)}")
    x = b.conv("stem", INPUT, g.stem, kernel=3, stride=2)
    reached, rate, skip = 2, 1, x
    for i, (stage, stride) in enumerate(zip(g.stages, BACKBONE_STRIDES, strict=True), start=1):
        if reached * stride > g.output_stride:
            rate, stride = rate * stride, 1
        reached *= stride
        for block in range(len(stage.hidden)):
            x = inverted_residual(b, f"stage{i}", x, stage, block, 1 if block else stride, rate)
        if reached == skip_stride:
            skip = x
    return skip, x


def inverted_residual(b: Builder, name: str, x: str, stage: Stage, block: int, stride: int, rate: int) -> str:
    """One block of a stage (MobileNetV2, Sandler et al. 2018; with swish or squeeze MobileNetV3, Howard et al. 2019).
    All but the first are residual.

    MobileNetV3's hard-swish spares a sigmoid. In int8 a sigmoid is a look-up that XNNPACK takes, and HARD_SWISH an op
    that it does not (`docs/family.md`), so this is swish itself.
    """
    name = f"{name}.{block}"
    y = b.conv(f"{name}.expand", x, stage.hidden[block], relu6=not stage.swish)
    y = gated(b, f"{name}.expand", y, y) if stage.swish else y
    y = b.depthwise(f"{name}.depthwise", y, stage.kernel, stride, rate, relu6=not stage.swish)
    y = gated(b, f"{name}.depthwise", y, y) if stage.swish else y
    if stage.squeeze:
        z = b.conv(f"{name}.squeeze", b.mean(f"{name}.mean", y), stage.squeeze[block], norm=False)
        z = b.conv(f"{name}.excite", z, stage.hidden[block], relu6=False, norm=False)
        y = gated(b, f"{name}.excite", y, z)
    y = b.conv(f"{name}.project", y, stage.width, relu6=False)
    return b.add(f"{name}.add", x, y) if block else y


def gated(b: Builder, name: str, x: str, gate: str) -> str:
    """Times the sigmoid of `gate`: a number for each channel, or with `x` itself the activation swish."""
    return b.mul(f"{name}.gated", x, b.sigmoid(f"{name}.sigmoid", gate))


def spatial(b: Builder, name: str, x: str, width: int, separable: bool, rate: int = 1) -> str:
    """A 3x3 convolution with an atrous rate, dense or as depthwise and pointwise ones."""
    if not separable:
        return b.conv(f"{name}.dense", x, width, kernel=3, dilation=rate)
    x = b.depthwise(f"{name}.depthwise", x, 3, dilation=rate, relu6=False)
    return b.conv(f"{name}.pointwise", x, width)


def aspp(b: Builder, x: str, g: Genotype) -> str:
    """Atrous spatial pyramid pooling (DeepLabV3, Chen et al. 2017)."""
    widths = iter(g.aspp_widths)
    branches = [b.conv("aspp.1x1", x, next(widths))]
    for i, rate in enumerate(g.aspp_rates, start=1):
        branches.append(spatial(b, f"aspp.rate{i}", x, next(widths), g.separable, rate))
    if g.image_pooling:
        y = b.conv("aspp.pool.conv", b.mean("aspp.pool.mean", x), next(widths))
        branches.append(b.resize("aspp.pool.resize", y, like=x))
    return b.conv("aspp.project", b.concat("aspp.concat", branches), g.aspp_out)


def decoder(b: Builder, context: str, low_level: str, g: Genotype) -> str:
    """DeepLabV3+'s (Chen et al. 2018)."""
    skip = b.conv("decoder.low_level", low_level, g.low_level)
    x = b.concat("decoder.concat", [b.resize("decoder.resize", context, like=low_level), skip])
    for i, width in enumerate(g.decoder, start=1):
        x = spatial(b, f"decoder.{i}", x, width, g.separable)
    return x


def class_scores(b: Builder, x: str, g: Genotype, name: str = CLASSIFIER) -> str:
    return b.conv(name, x, g.classes, relu6=False, norm=False)


def class_map(b: Builder, scores: str, g: Genotype) -> Graph:
    """The whole graph, ended by upsampling and argmax."""
    b.argmax("class_map", b.resize("upsample", scores, like=INPUT, divide=g.head_stride))
    return tuple(b.ops)


def widths(g: Genotype) -> dict[str, int]:
    """The output channels that can change on their own, by the convolution that makes them; a stage's width
    goes by its first projection, whose channels the residual adds tie to the others."""
    found = {"stem": g.stem}
    for i, stage in enumerate(g.stages, start=1):
        found |= {f"stage{i}.{block}.expand": hidden for block, hidden in enumerate(stage.hidden)}
        found |= {f"stage{i}.{block}.squeeze": squeeze for block, squeeze in enumerate(stage.squeeze)}
        found[f"stage{i}.0.project"] = stage.width
    found |= dict(zip(_branch_names(g), g.aspp_widths, strict=True))
    found |= {"aspp.project": g.aspp_out} if g.aspp_out else {}
    found |= {"decoder.low_level": g.low_level} if g.low_level else {}
    return found | dict(zip(_decoder_names(g), g.decoder, strict=True))


def with_widths(g: Genotype, new: Mapping[str, int]) -> Genotype:
    """The same network with other `widths`."""
    stages = tuple(
        replace(
            stage,
            width=new[f"stage{i}.0.project"],
            hidden=tuple(new[f"stage{i}.{block}.expand"] for block in range(len(stage.hidden))),
            squeeze=tuple(new[f"stage{i}.{block}.squeeze"] for block in range(len(stage.squeeze))),
        )
        for i, stage in enumerate(g.stages, start=1)
    )
    return replace(
        g,
        stem=new["stem"],
        stages=stages,
        aspp_widths=tuple(new[name] for name in _branch_names(g)),
        aspp_out=new.get("aspp.project", 0),
        low_level=new.get("decoder.low_level", 0),
        decoder=tuple(new[name] for name in _decoder_names(g)),
    )


def _last(name: str, g: Genotype) -> str:
    """The convolution that makes what `spatial` makes."""
    return f"{name}.pointwise" if g.separable else f"{name}.dense"


def _branch_names(g: Genotype) -> list[str]:
    rates = [_last(f"aspp.rate{i}", g) for i in range(1, len(g.aspp_rates) + 1)]
    return [*(["aspp.1x1"] if g.aspp_1x1 else []), *rates, *(["aspp.pool.conv"] if g.image_pooling else [])]


def _decoder_names(g: Genotype) -> list[str]:
    return [_last(f"decoder.{i}", g) for i in range(1, len(g.decoder) + 1)]
