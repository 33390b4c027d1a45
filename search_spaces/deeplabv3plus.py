"""DeepLabV3+ (Chen et al. 2018): DeepLabV3's ASPP and a decoder that joins features of stride 4. On inverted residuals
of MobileNetV2, depthwise separable throughout."""

from search_spaces.backbone import backbone, sample_backbone
from search_spaces.genotype import Genotype
from search_spaces.heads import (
    BRANCH_RATES,
    HEAD_STRIDES,
    aspp,
    class_map,
    class_scores,
    decoder,
    require_parts,
    sample_aspp,
)
from search_spaces.ops import Builder, Graph
from search_spaces.trials import Trial

NAME = "deeplabv3plus"


def sample(trial: Trial, classes: int, input_size: tuple[int, int]) -> Genotype:
    """Draws a network.

    Args:
        trial: Chooses the values.
        classes: The number of classes.
        input_size: The largest resolution (H, W) in pixels that the network may run at.

    Returns:
        The genotype.
    """
    backbone_fields = sample_backbone(trial, input_size, mobilenetv3=False)
    aspp_fields = sample_aspp(trial)
    low_level = trial.suggest_int("low_level", 8, 48, step=8)
    decoder_width = trial.suggest_int("decoder_width", 16, 128, step=16)
    decoder_depth = trial.suggest_int("decoder_depth", 1, 2)
    return Genotype(
        space=NAME,
        classes=classes,
        low_level=low_level,
        decoder=(decoder_width,) * decoder_depth,
        head_stride=trial.suggest_categorical("head_stride", HEAD_STRIDES),
        **backbone_fields,
        **aspp_fields,
    )


def graph(g: Genotype) -> Graph:
    """Lists the ops of a network.

    Args:
        g: The genotype.

    Returns:
        The ops, from the image (H, W, bands) to the class map (H, W, 1).

    Raises:
        InputError: The genotype has parts that this space does not have, or lacks parts.
    """
    rates = range(len(BRANCH_RATES) + 1)
    require_parts(g, rates, needs=("aspp_1x1", "aspp_out", "low_level", "decoder"), may=("image_pooling",))
    b = Builder(g.resolution, bands=g.bands, doubling=g.doubling)
    low_level, features = backbone(b, g)
    merged = decoder(b, aspp(b, features, g), low_level, g)
    return class_map(b, class_scores(b, merged, g), g)
