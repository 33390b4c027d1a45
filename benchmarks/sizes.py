"""The network that benchmarks/stages.py compresses, and its scalings."""

from compress.latency.table import LatencyTable
from search_spaces import graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype, Stage, round_channels
from search_spaces.widths import prunable_widths, with_widths

FACTORS = tuple(f / 50 for f in range(50, 5, -1))  # of BASE's widths, tried from the widest on


def stage(width: int, depth: int, width_in: int, expansion: int = 4) -> Stage:
    return Stage(width, 3, (width_in * expansion, *(width * expansion,) * (depth - 1)))


BASE = Genotype(  # 0.48 M parameters
    space="deeplabv3plus",
    classes=8,
    resolution=(256, 256),
    stem=16,
    stages=(stage(16, 1, 16, 2), stage(24, 2, 16), stage(40, 3, 24), stage(72, 3, 40), stage(128, 2, 72)),
    output_stride=16,
    aspp_rates=(4, 9, 12),
    image_pooling=True,
    aspp_widths=(96,) * 5,
    aspp_out=96,
    low_level=24,
    decoder=(96,),
    head_stride=4,
)


def scaled(genotype: Genotype, factor: float) -> Genotype:
    return with_widths(genotype, {n: round_channels(w * factor) for n, w in prunable_widths(genotype).items()})


def sized(base: Genotype, table: LatencyTable, share: float) -> Genotype:
    """The widest scaling of BASE that is predicted to take a share of its latency or less."""
    most = share * table.predict(graph_of(base))
    fitting = (g for g in (scaled(base, factor) for factor in FACTORS) if table.predict(graph_of(g)) <= most)
    found = next(fitting, None)
    if found is None:
        raise InputError(f"table.json: no scaling of the network takes {most:.2f} ms; measure it on a quiet machine")
    return found
