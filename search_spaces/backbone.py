"""The backbone that all spaces share: a stem and stages of inverted residuals.

Its six or seven stages are those of MobileNetV2 (Sandler et al. 2018) and EfficientNet-Lite (after Tan and Le 2019), so
that their weights fit. The first block has no expansion. A stage may also have MobileNetV3's variants. Networks of
older versions have five stages and keep their graph.

Choices are listed from the cheapest to the dearest: the first of each makes the smallest network and the last the
largest (`search_spaces.trials`).
"""

from dataclasses import dataclass
from typing import Any

from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP, Genotype, Stage, round_channels
from search_spaces.ops import INPUT, Builder, Graph
from search_spaces.trials import Trial

BACKBONE = "six or seven stages"  # what trials choose among; studies and latency tables record it
OLDER_BACKBONE = "five stages"  # of those that record nothing
RESOLUTION_SCALE = "resolution_scale"  # the name under which a trial is asked for it
RESOLUTION_SCALES = (0.5, 0.75, 1.0)
OUTPUT_STRIDES = (16, 8)  # pixels of the image per feature of the backbone, a side
EXPANSIONS = (2, 3, 4, 6)
SQUEEZE = 4  # expanded channels for one squeezed channel (MobileNetV3)
STAGE_STRIDES = {  # by the number of stages, after the stem's 2
    5: (1, 2, 2, 2, 2),  # networks of older versions
    6: (1, 2, 2, 2, 1, 2),
    7: (1, 2, 2, 2, 1, 2, 1),
}
STAGE_COUNTS = (6, 7)  # that a trial may choose


@dataclass(frozen=True)
class StageRange:
    """What a trial may choose for a stage.

    Attributes:
        low: The smallest width in channels.
        high: The largest width in channels.
        depth: The largest number of blocks.
        step: The distance between two widths in channels.
    """

    low: int
    high: int
    depth: int
    step: int = CHANNEL_STEP


# from MobileNetV2's width multiplier 0.25 to the widths and depths of EfficientNet-Lite2
STAGE_RANGES = (
    StageRange(8, 16, 1),
    StageRange(8, 24, 3),
    StageRange(8, 48, 3),
    StageRange(16, 88, 4),
    StageRange(24, 120, 4),
    StageRange(48, 208, 5, step=16),
    StageRange(96, 352, 1, step=32),
)


def sample_backbone(trial: Trial, input_size: tuple[int, int], mobilenetv3: bool) -> dict[str, Any]:
    """Draws the fields of a genotype up to the output stride.

    Args:
        trial: Chooses the values.
        input_size: The largest resolution (H, W) in pixels.
        mobilenetv3: Whether each stage may choose swish and squeeze-and-excitation (MobileNetV3, Howard et al. 2019).

    Returns:
        The fields resolution, stem, stages and output_stride.
    """
    scale = trial.suggest_categorical(RESOLUTION_SCALE, RESOLUTION_SCALES)
    resolution = (scaled_side(input_size[0], scale), scaled_side(input_size[1], scale))
    stem = trial.suggest_int("stem", 8, 32, step=8)
    stages, width_in = [], stem
    for i, allowed in enumerate(STAGE_RANGES[: trial.suggest_categorical("stages", STAGE_COUNTS)], start=1):
        width = trial.suggest_int(f"stage{i}_width", allowed.low, allowed.high, step=allowed.step)
        depth = trial.suggest_int(f"stage{i}_depth", 1, allowed.depth)
        expansion = trial.suggest_categorical(f"stage{i}_expansion", EXPANSIONS) if i > 1 else 1
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
    """A side of the input size at a resolution scale.

    Args:
        side: The side in pixels.
        scale: The resolution scale; at 1 the side stays as the user gave it.

    Returns:
        The nearest multiple of 32 pixels, at least 32.
    """
    return side if scale == 1.0 else max(32, round(side * scale / 32) * 32)


def backbone(b: Builder, g: Genotype, skip_stride: int = 4) -> tuple[str, str]:
    """Adds the ops of the backbone. Past the output stride, stride becomes atrous rate.

    The block whose stride is dropped keeps the rate of the blocks before it: its input has their resolution. The blocks
    after it take the higher rate. Thus each kernel reads the pixels that it read with strides (Chen et al. 2017). In
    networks of older versions, which have five stages, that block has the higher rate as well.

    Args:
        b: Collects the ops.
        g: The genotype.
        skip_stride: The stride of the finer features.

    Returns:
        The names of the features at `skip_stride` and of those at the output stride.

    Raises:
        InputError: The genotype has another number of stages than the spaces have, or its first block would need an
            expansion.
    """
    strides = STAGE_STRIDES.get(len(g.stages))
    if strides is None:
        raise InputError(
            f"genotype: {g.space} has {min(STAGE_STRIDES)} to {max(STAGE_STRIDES)} stages, not {len(g.stages)}"
        )
    if not g.expands(1, 0) and g.stages[0].hidden[0] != g.stem:
        raise InputError(
            f"genotype: the first block of {len(g.stages)} stages has no expansion, so its hidden width must be the "
            f"stem's {g.stem}, not {g.stages[0].hidden[0]}"
        )
    x = b.conv("stem", INPUT, g.stem, kernel=3, stride=2)
    reached, rate, skip = 2, 1, x
    for i, (stage, stride) in enumerate(zip(g.stages, strides, strict=True), start=1):
        before = rate
        if reached * stride > g.output_stride:
            rate, stride = rate * stride, 1
        first_rate = rate if len(g.stages) == min(STAGE_STRIDES) else before
        reached *= stride
        for block in range(len(stage.hidden)):
            place = (1, rate) if block else (stride, first_rate)
            x = inverted_residual(b, f"stage{i}", x, stage, block, *place, expands=g.expands(i, block))
        if reached == skip_stride:
            skip = x
    return skip, x


def inverted_residual(
    b: Builder, name: str, x: str, stage: Stage, block: int, stride: int, rate: int, expands: bool = True
) -> str:
    """Adds one block of a stage: an inverted residual.

    The block is MobileNetV2's (Sandler et al. 2018), with swish or squeeze-and-excitation MobileNetV3's (Howard et al.
    2019). MobileNetV3 uses hard-swish, which needs no sigmoid. In int8 a sigmoid is a look-up that XNNPACK runs, and
    HARD_SWISH is an op that it does not run (`docs/family.md`). So this is swish itself.

    Args:
        b: Collects the ops.
        name: The stage's name.
        x: The block's input.
        stage: The stage.
        block: The block's place in the stage, from 0. All but the first block are residual.
        stride: The stride of the depthwise convolution.
        rate: Its atrous rate.
        expands: Whether the block has an expansion; without one its input has the hidden width.

    Returns:
        The name of the block's output.
    """
    name, y = f"{name}.{block}", x
    if expands:
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
    """Adds a product of a value with the sigmoid of another.

    Args:
        b: Collects the ops.
        name: The name under which the ops are added.
        x: The value.
        gate: One number for each channel, or `x` itself, which makes the activation swish (Ramachandran et al. 2017).

    Returns:
        The name of the product.
    """
    return b.mul(f"{name}.gated", x, b.sigmoid(f"{name}.sigmoid", gate))


def is_backbone(name: str) -> bool:
    """Tells whether an op belongs to the backbone, which all spaces share.

    Args:
        name: The op's name.

    Returns:
        Whether it is the stem or a part of a stage.
    """
    return name.startswith(("stem", "stage"))


def stage_outputs(graph: Graph) -> tuple[str, ...]:
    """Lists the outputs of the stages.

    Args:
        graph: The ops of a network.

    Returns:
        The name of the last op of each stage, first stage first.
    """
    last = {op.name.split(".")[0]: op.name for op in graph if op.name.startswith("stage")}
    return tuple(last.values())
