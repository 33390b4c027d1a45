"""What follows the backbone: ASPP, decoder, class scores and the class map, whose size the head's stride decides.

Choices are listed from the cheapest to the dearest.
"""

from collections.abc import Collection
from typing import Any

from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.ops import CLASSIFIER, INPUT, Builder, Graph
from search_spaces.trials import Trial

# The atrous rates that each ASPP branch may take. The branches are in order, so each set of rates occurs once.
BRANCH_RATES = ((2, 4, 6), (6, 9, 12), (12, 18, 24))
HEAD_STRIDES = (4, 2, 1)  # pixels of the image per pixel of the class map, a side
OPTIONAL_PARTS = ("aspp_1x1", "image_pooling", "aspp_out", "low_level", "decoder")  # fields that may be empty


def sample_aspp(trial: Trial) -> dict[str, Any]:
    """Draws the fields of a genotype that describe DeepLabV3's ASPP.

    Args:
        trial: Chooses the values.

    Returns:
        The fields aspp_rates, image_pooling, aspp_widths and aspp_out.
    """
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
    """Checks that a genotype has the parts of its space and no others.

    Args:
        g: The genotype.
        rates: The numbers of atrous rates that the space allows.
        needs: Those of OPTIONAL_PARTS that it must have.
        may: Those of OPTIONAL_PARTS that it may have.

    Raises:
        InputError: A part is missing or does not belong to the space.
    """
    if len(g.aspp_rates) not in rates:
        counts = " to ".join(map(str, sorted({rates[0], rates[-1]})))
        raise InputError(f"genotype: {g.space} takes {counts} atrous rates, not {g.aspp_rates}")
    for part in OPTIONAL_PARTS:
        value = getattr(g, part)
        if part not in may and bool(value) != (part in needs):
            raise InputError(f"genotype: {g.space} {'needs' if part in needs else 'has no'} {part}; given is {value}")


def spatial(b: Builder, name: str, x: str, width: int, separable: bool, rate: int = 1) -> str:
    """Adds a 3x3 convolution with an atrous rate.

    Args:
        b: Collects the ops.
        name: The name under which the ops are added.
        x: The input.
        width: Output channels.
        separable: Whether it is a depthwise and a pointwise convolution, instead of one dense convolution.
        rate: The atrous rate.

    Returns:
        The name of the output.
    """
    if not separable:
        return b.conv(f"{name}.dense", x, width, kernel=3, dilation=rate)
    x = b.depthwise(f"{name}.depthwise", x, 3, dilation=rate, relu6=False)
    return b.conv(f"{name}.pointwise", x, width)


def aspp(b: Builder, x: str, g: Genotype) -> str:
    """Adds atrous spatial pyramid pooling (DeepLabV3, Chen et al. 2017).

    Args:
        b: Collects the ops.
        x: The features of the backbone.
        g: The genotype.

    Returns:
        The name of the output.
    """
    widths = iter(g.aspp_widths)
    branches = [b.conv("aspp.1x1", x, next(widths))]
    for i, rate in enumerate(g.aspp_rates, start=1):
        branches.append(spatial(b, f"aspp.rate{i}", x, next(widths), g.separable, rate))
    if g.image_pooling:
        y = b.conv("aspp.pool.conv", b.mean("aspp.pool.mean", x), next(widths))
        branches.append(b.resize("aspp.pool.resize", y, like=x))
    return b.conv("aspp.project", b.concat("aspp.concat", branches), g.aspp_out)


def decoder(b: Builder, context: str, low_level: str, g: Genotype) -> str:
    """Adds the decoder of DeepLabV3+ (Chen et al. 2018).

    Args:
        b: Collects the ops.
        context: The output of ASPP.
        low_level: The features of stride 4.
        g: The genotype.

    Returns:
        The name of the output.
    """
    skip = b.conv("decoder.low_level", low_level, g.low_level)
    x = b.concat("decoder.concat", [b.resize("decoder.resize", context, like=low_level), skip])
    for i, width in enumerate(g.decoder, start=1):
        x = spatial(b, f"decoder.{i}", x, width, g.separable)
    return x


def class_scores(b: Builder, x: str, g: Genotype, name: str = CLASSIFIER) -> str:
    """Adds a classifier: a 1x1 convolution with a bias.

    Args:
        b: Collects the ops.
        x: The features.
        g: The genotype.
        name: The name of the convolution.

    Returns:
        The name of the class scores.
    """
    return b.conv(name, x, g.classes, relu6=False, norm=False)


def class_map(b: Builder, scores: str, g: Genotype) -> Graph:
    """Ends a network with bilinear upsampling, and argmax unless the genotype asks for logits.

    The class map has one pixel for `g.head_stride` pixels of the image, a side.

    Args:
        b: The ops of the network so far.
        scores: The class scores.
        g: The genotype.

    Returns:
        All ops of the network.
    """
    scores = b.resize("upsample", scores, like=INPUT, divide=g.head_stride)
    if not g.logits:
        b.argmax("class_map", scores)
    return tuple(b.ops)
