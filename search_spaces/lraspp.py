"""Lite R-ASPP (MobileNetV3, Howard et al. 2019, figure 10): a 1x1 convolution, each channel scaled by a gate from
image pooling; class scores of features twice as fine are added.

The paper enlarges the scaled features before it classifies them. A 1x1 convolution and a bilinear resize may change
places without changing the result, and class scores are the cheaper of the two to enlarge.
"""

from search_spaces.backbone import backbone, gated, sample_backbone
from search_spaces.genotype import Genotype
from search_spaces.heads import HEAD_STRIDES, class_map, class_scores, require_parts
from search_spaces.ops import CLASSIFIER, Builder, Graph
from search_spaces.trials import Trial

NAME = "lraspp"


def sample(trial: Trial, classes: int, input_size: tuple[int, int]) -> Genotype:
    """Draws a network.

    Args:
        trial: Chooses the values.
        classes: The number of classes.
        input_size: The largest resolution (H, W) in pixels that the network may run at.

    Returns:
        The genotype.
    """
    backbone_fields = sample_backbone(trial, input_size, mobilenetv3=True)
    return Genotype(
        space=NAME,
        classes=classes,
        aspp_rates=(),
        image_pooling=False,
        aspp_widths=(trial.suggest_int("aspp_width", 32, 256, step=32),),
        aspp_out=0,
        low_level=0,
        decoder=(),
        head_stride=trial.suggest_categorical("head_stride", HEAD_STRIDES),
        **backbone_fields,
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
    require_parts(g, range(1), needs=("aspp_1x1",))
    b = Builder(g.resolution, bands=g.bands, doubling=g.doubling)
    finer, features = backbone(b, g, skip_stride=g.output_stride // 2)
    (width,) = g.aspp_widths
    x = b.conv("aspp.1x1", features, width)
    pooled = b.conv("aspp.pool.conv", b.mean("aspp.pool.mean", features), width, relu6=False, norm=False)
    scores = class_scores(b, gated(b, "aspp", x, pooled), g)
    scores = b.resize("classifier.resize", scores, like=finer)
    # another output stride reads another stage, and so has a classifier with weights of its own
    low_level = class_scores(b, finer, g, f"low_level{g.output_stride // 2}.{CLASSIFIER}")
    return class_map(b, b.add("classifier.sum", scores, low_level), g)
