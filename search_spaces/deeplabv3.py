"""DeepLabV3 (Chen et al. 2017): atrous branches and image pooling side by side, concatenated; no decoder."""

from search_spaces.backbone import backbone, sample_backbone
from search_spaces.genotype import Genotype
from search_spaces.heads import BRANCH_RATES, HEAD_STRIDES, aspp, class_map, class_scores, require_parts, sample_aspp
from search_spaces.ops import Builder, Graph
from search_spaces.trials import Trial

NAME = "deeplabv3"


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
    aspp_fields = sample_aspp(trial)
    # without atrous branches there is nothing to choose
    separable = not aspp_fields["aspp_rates"] or trial.suggest_categorical("separable", (True, False))
    return Genotype(
        space=NAME,
        classes=classes,
        low_level=0,
        decoder=(),
        head_stride=trial.suggest_categorical("head_stride", HEAD_STRIDES),
        separable=separable,
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
    require_parts(g, range(len(BRANCH_RATES) + 1), needs=("aspp_1x1", "aspp_out"), may=("image_pooling",))
    b = Builder(g.resolution, bands=g.bands, doubling=g.doubling)
    _, features = backbone(b, g)
    return class_map(b, class_scores(b, aspp(b, features, g), g), g)
