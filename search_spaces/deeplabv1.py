"""DeepLab (Chen et al. 2015), its LargeFOV form: an atrous backbone and one 3x3 convolution with a large atrous rate,
which sees far with few weights; then a 1x1 convolution and the classifier (fc6, fc7, fc8 in the paper)."""

from search_spaces.backbone import backbone, sample_backbone
from search_spaces.genotype import Genotype
from search_spaces.heads import HEAD_STRIDES, class_map, class_scores, require_parts, spatial
from search_spaces.ops import Builder, Graph
from search_spaces.trials import Trial

NAME = "deeplabv1"
RATES = (6, 12, 18)  # the paper's is 12, at an output stride of 8


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
    rate = trial.suggest_categorical("aspp_rate1", RATES)
    width = trial.suggest_int("aspp_width", 32, 256, step=32)
    separable = trial.suggest_categorical("separable", (True, False))
    return Genotype(
        space=NAME,
        classes=classes,
        aspp_1x1=False,
        aspp_rates=(rate,),
        image_pooling=False,
        aspp_widths=(width,),
        aspp_out=width,
        low_level=0,
        decoder=(),
        head_stride=trial.suggest_categorical("head_stride", HEAD_STRIDES),
        separable=separable,
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
    require_parts(g, range(1, 2), needs=("aspp_out",))
    b = Builder(g.resolution, bands=g.bands, doubling=g.doubling)
    _, features = backbone(b, g)
    x = spatial(b, "aspp.rate1", features, g.aspp_widths[0], g.separable, g.aspp_rates[0])
    x = b.conv("aspp.project", x, g.aspp_out)
    return class_map(b, class_scores(b, x, g), g)
