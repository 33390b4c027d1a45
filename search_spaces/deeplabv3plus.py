"""DeepLabV3+ (Chen et al. 2018) on inverted residuals (MobileNetV2, Sandler et al. 2018), depthwise separable
throughout, with the head (upsampling and argmax) inside.

Choices are listed from cheapest to dearest, so the first of each is the smallest network and the last the
largest (`search_spaces.trials`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from search_spaces.errors import InputError
from search_spaces.genotype import Genotype, Stage, round_channels
from search_spaces.ops import CLASSIFIER, INPUT, Builder, Graph
from search_spaces.trials import Trial

NAME = "deeplabv3plus"
RESOLUTION_SCALES = (0.5, 0.75, 1.0)
EXPANSIONS = (2, 3, 4, 6)
# Atrous rates each ASPP branch may take; the branches stay in order, so no set of rates has two spellings.
BRANCH_RATES = ((2, 4, 6), (6, 9, 12), (12, 18, 24))
BACKBONE_STRIDES = (1, 2, 2, 2, 2)  # of the stages, after the stem's 2


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


def sample(trial: Trial, classes: int, input_size: tuple[int, int]) -> Genotype:
    """The network a trial asks for; `input_size` (H, W) is the largest resolution it may run at."""
    scale = trial.suggest_categorical("resolution_scale", RESOLUTION_SCALES)
    resolution = (scaled_side(input_size[0], scale), scaled_side(input_size[1], scale))
    stem = trial.suggest_int("stem", 8, 32, step=8)
    stages, width_in = [], stem
    for i, allowed in enumerate(STAGE_RANGES, start=1):
        width = trial.suggest_int(f"stage{i}_width", allowed.low, allowed.high, step=8)
        depth = trial.suggest_int(f"stage{i}_depth", 1, allowed.depth)
        expansion = trial.suggest_categorical(f"stage{i}_expansion", EXPANSIONS)
        kernel = trial.suggest_categorical(f"stage{i}_kernel", (3, 5))
        hidden = [round_channels(expansion * (width_in if block == 0 else width)) for block in range(depth)]
        stages.append(Stage(width, kernel, tuple(hidden)))
        width_in = width
    output_stride = trial.suggest_categorical("output_stride", (16, 8))
    branches = trial.suggest_int("aspp_branches", 0, len(BRANCH_RATES))
    rates = [trial.suggest_categorical(f"aspp_rate{i}", BRANCH_RATES[i - 1]) for i in range(1, branches + 1)]
    pooling = trial.suggest_categorical("image_pooling", (False, True))
    aspp_width = trial.suggest_int("aspp_width", 32, 256, step=32)
    low_level = trial.suggest_int("low_level", 8, 48, step=8)
    decoder_width = trial.suggest_int("decoder_width", 16, 128, step=16)
    decoder_depth = trial.suggest_int("decoder_depth", 1, 2)
    head_stride = trial.suggest_categorical("head_stride", (4, 2, 1))
    return Genotype(
        space=NAME,
        classes=classes,
        resolution=resolution,
        stem=stem,
        stages=tuple(stages),
        output_stride=output_stride,
        aspp_rates=tuple(rates),
        image_pooling=pooling,
        aspp_widths=(aspp_width,) * (1 + branches + pooling),
        aspp_out=aspp_width,
        low_level=low_level,
        decoder=(decoder_width,) * decoder_depth,
        head_stride=head_stride,
    )


def scaled_side(side: int, scale: float) -> int:
    """A side of the input size at a resolution scale: the nearest multiple of 32, at least 32 pixels; the
    full side stays as the user gave it."""
    return side if scale == 1.0 else max(32, round(side * scale / 32) * 32)


def graph(g: Genotype) -> Graph:
    """The ops of a network, from the image (H, W, 3) to the class map (H, W, 1)."""
    b = Builder(g.resolution)
    low_level, features = backbone(b, g)
    context = aspp(b, features, g)
    merged = decoder(b, context, low_level, g)
    logits = b.conv(CLASSIFIER, merged, g.classes, relu6=False)
    logits = b.resize("upsample", logits, like=INPUT, divide=g.head_stride)
    b.argmax("class_map", logits)
    return tuple(b.ops)


def backbone(b: Builder, g: Genotype) -> tuple[str, str]:
    """Stride 4 and output stride features. Past the output stride, stride becomes atrous rate. Raises InputError for
    another number of stages than the space has."""
    if len(g.stages) != len(BACKBONE_STRIDES):
        raise InputError(f"genotype: {NAME} has {len(BACKBONE_STRIDES)} stages, not {len(g.stages)}")
    x = b.conv("stem", INPUT, g.stem, kernel=3, stride=2)
    reached, rate, low_level = 2, 1, x
    for i, (stage, stride) in enumerate(zip(g.stages, BACKBONE_STRIDES, strict=True), start=1):
        if reached * stride > g.output_stride:
            rate, stride = rate * stride, 1
        reached *= stride
        for block, hidden in enumerate(stage.hidden):
            first = block == 0
            x = inverted_residual(b, f"stage{i}.{block}", x, hidden, stage, stride if first else 1, rate, not first)
        if reached == 4:
            low_level = x
    return low_level, x


def inverted_residual(
    b: Builder, name: str, x: str, hidden: int, stage: Stage, stride: int, rate: int, residual: bool
) -> str:
    y = b.conv(f"{name}.expand", x, hidden)
    y = b.depthwise(f"{name}.depthwise", y, stage.kernel, stride, rate)
    y = b.conv(f"{name}.project", y, stage.width, relu6=False)
    return b.add(f"{name}.add", x, y) if residual else y


def aspp(b: Builder, x: str, g: Genotype) -> str:
    """Atrous spatial pyramid pooling (DeepLabV3, Chen et al. 2017) with depthwise separable branches."""
    widths = iter(g.aspp_widths)
    branches = [b.conv("aspp.1x1", x, next(widths))]
    for i, rate in enumerate(g.aspp_rates, start=1):
        y = b.depthwise(f"aspp.rate{i}.depthwise", x, 3, dilation=rate, relu6=False)
        branches.append(b.conv(f"aspp.rate{i}.pointwise", y, next(widths)))
    if g.image_pooling:
        y = b.conv("aspp.pool.conv", b.mean("aspp.pool.mean", x), next(widths))
        branches.append(b.resize("aspp.pool.resize", y, like=x))
    return b.conv("aspp.project", b.concat("aspp.concat", branches), g.aspp_out)


def decoder(b: Builder, context: str, low_level: str, g: Genotype) -> str:
    skip = b.conv("decoder.low_level", low_level, g.low_level)
    x = b.concat("decoder.concat", [b.resize("decoder.resize", context, like=low_level), skip])
    for i, width in enumerate(g.decoder, start=1):
        x = b.depthwise(f"decoder.{i}.depthwise", x, 3, relu6=False)
        x = b.conv(f"decoder.{i}.pointwise", x, width)
    return x


def widths(g: Genotype) -> dict[str, int]:
    """The output channels that can change on their own, by the convolution that makes them; a stage's width
    goes by its first projection, whose channels the residual adds tie to the others."""
    found = {"stem": g.stem}
    for i, stage in enumerate(g.stages, start=1):
        found |= {f"stage{i}.{block}.expand": hidden for block, hidden in enumerate(stage.hidden)}
        found[f"stage{i}.0.project"] = stage.width
    found |= dict(zip(_branch_names(g), g.aspp_widths, strict=True))
    found |= {"aspp.project": g.aspp_out, "decoder.low_level": g.low_level}
    return found | {f"decoder.{i}.pointwise": width for i, width in enumerate(g.decoder, start=1)}


def with_widths(g: Genotype, new: Mapping[str, int]) -> Genotype:
    """The same network with other `widths`."""
    stages = tuple(
        Stage(
            new[f"stage{i}.0.project"],
            stage.kernel,
            tuple(new[f"stage{i}.{block}.expand"] for block in range(len(stage.hidden))),
        )
        for i, stage in enumerate(g.stages, start=1)
    )
    return replace(
        g,
        stem=new["stem"],
        stages=stages,
        aspp_widths=tuple(new[name] for name in _branch_names(g)),
        aspp_out=new["aspp.project"],
        low_level=new["decoder.low_level"],
        decoder=tuple(new[f"decoder.{i}.pointwise"] for i in range(1, len(g.decoder) + 1)),
    )


def _branch_names(g: Genotype) -> list[str]:
    rates = [f"aspp.rate{i}.pointwise" for i in range(1, len(g.aspp_rates) + 1)]
    return ["aspp.1x1", *rates, *(["aspp.pool.conv"] if g.image_pooling else [])]
