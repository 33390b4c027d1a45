"""The backbone that all spaces share: a stem and five stages of inverted residuals (MobileNetV2, MobileNetV3).

Choices are listed from the cheapest to the dearest: the first of each makes the smallest network and the last the
largest (`search_spaces.trials`).
"""

from dataclasses import dataclass
from typing import Any

from search_spaces.errors import InputError
from search_spaces.genotype import OUTPUT_STRIDES, Genotype, Stage, round_channels
from search_spaces.ops import INPUT, Builder
from search_spaces.trials import Trial

RESOLUTION_SCALE = "resolution_scale"  # the name under which a trial is asked for it
RESOLUTION_SCALES = (0.5, 0.75, 1.0)
EXPANSIONS = (2, 3, 4, 6)
SQUEEZE = 4  # expanded channels for one squeezed channel (MobileNetV3)
STAGE_STRIDES = (1, 2, 2, 2, 2)  # after the stem's 2


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
    output_stride = trial.suggest_categorical("output_stride", OUTPUT_STRIDES)
    return {"resolution": resolution, "stem": stem, "stages": tuple(stages), "output_stride": output_stride}


def scaled_side(side: int, scale: float) -> int:
    """A side of the input size at a resolution scale: the nearest multiple of 32, at least 32 pixels; the
    full side stays as the user gave it."""
    return side if scale == 1.0 else max(32, round(side * scale / 32) * 32)


def backbone(b: Builder, g: Genotype, skip_stride: int = 4) -> tuple[str, str]:
    """The features at `skip_stride` and at the output stride. Past the output stride, stride becomes atrous rate.
    Raises InputError for another number of stages than the spaces have."""
    if len(g.stages) != len(STAGE_STRIDES):
        raise InputError(f"genotype: {g.space} has {len(STAGE_STRIDES)} stages, not {len(g.stages)}")
    x = b.conv("stem", INPUT, g.stem, kernel=3, stride=2)
    reached, rate, skip = 2, 1, x
    for i, (stage, stride) in enumerate(zip(g.stages, STAGE_STRIDES, strict=True), start=1):
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
