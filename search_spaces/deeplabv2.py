"""DeepLabV2 (Chen et al. 2016): ASPP of atrous branches, each with a classifier of its own; the class scores are
summed."""

from search_spaces.backbone import backbone, sample_backbone
from search_spaces.genotype import Genotype
from search_spaces.heads import HEAD_STRIDES, class_map, class_scores, require_parts, spatial
from search_spaces.ops import Builder, Graph
from search_spaces.trials import Trial

NAME = "deeplabv2"
# For each branch those of the paper's ASPP-S and ASPP-L. No rate is in two branches, so each set occurs once.
BRANCH_RATES = ((2, 6), (4, 12), (8, 18), (16, 24))


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
    branches = trial.suggest_int("aspp_branches", 2, len(BRANCH_RATES))
    rates = [trial.suggest_categorical(f"aspp_rate{i}", BRANCH_RATES[i - 1]) for i in range(1, branches + 1)]
    width = trial.suggest_int("aspp_width", 32, 256, step=32)
    separable = trial.suggest_categorical("separable", (True, False))
    return Genotype(
        space=NAME,
        classes=classes,
        aspp_1x1=False,
        aspp_rates=tuple(rates),
        image_pooling=False,
        aspp_widths=(width,) * branches,
        aspp_out=0,
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
    require_parts(g, range(2, len(BRANCH_RATES) + 1), needs=())
    b = Builder(g.resolution, bands=g.bands, doubling=g.doubling)
    _, features = backbone(b, g)
    total = ""
    for i, (rate, width) in enumerate(zip(g.aspp_rates, g.aspp_widths, strict=True), start=1):
        x = spatial(b, f"aspp.rate{i}", features, width, g.separable, rate)
        scores = class_scores(b, x, g, f"aspp.rate{i}.classifier")
        total = b.add(f"aspp.sum{i}", total, scores) if total else scores
    return class_map(b, total, g)
