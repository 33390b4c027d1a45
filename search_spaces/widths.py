"""The widths of a genotype that pruning may change, by the name of the convolution that makes the channels."""

from collections.abc import Mapping
from dataclasses import replace

from search_spaces.genotype import Genotype


def prunable_widths(g: Genotype) -> dict[str, int]:
    """The numbers of channels that can change on their own.

    Args:
        g: The genotype.

    Returns:
        Output channels by the name of the convolution that makes them. A stage's width has the name of its first
        projection; the residual additions tie the channels of the other projections to it. The hidden width of a
        block without expansion is that of the stem.
    """
    found = {"stem": g.stem}
    for i, stage in enumerate(g.stages, start=1):
        hidden = enumerate(stage.hidden)
        found |= {f"stage{i}.{block}.expand": width for block, width in hidden if g.expands(i, block)}
        found |= {f"stage{i}.{block}.squeeze": squeeze for block, squeeze in enumerate(stage.squeeze)}
        found[f"stage{i}.0.project"] = stage.width
    found |= dict(zip(_branch_names(g), g.aspp_widths, strict=True))
    found |= {"aspp.project": g.aspp_out} if g.aspp_out else {}
    found |= {"decoder.low_level": g.low_level} if g.low_level else {}
    return found | dict(zip(_decoder_names(g), g.decoder, strict=True))


def with_widths(g: Genotype, new: Mapping[str, int]) -> Genotype:
    """The same network with other numbers of channels.

    Args:
        g: The genotype.
        new: What `prunable_widths` gives, with other values.

    Returns:
        The new genotype.
    """
    stages = tuple(
        replace(
            stage,
            width=new[f"stage{i}.0.project"],
            hidden=tuple(
                new[f"stage{i}.{block}.expand" if g.expands(i, block) else "stem"] for block in range(len(stage.hidden))
            ),
            squeeze=tuple(new[f"stage{i}.{block}.squeeze"] for block in range(len(stage.squeeze))),
        )
        for i, stage in enumerate(g.stages, start=1)
    )
    return replace(
        g,
        stem=new["stem"],
        stages=stages,
        aspp_widths=tuple(new[name] for name in _branch_names(g)),
        aspp_out=new.get("aspp.project", 0),
        low_level=new.get("decoder.low_level", 0),
        decoder=tuple(new[name] for name in _decoder_names(g)),
    )


def _spatial_name(name: str, g: Genotype) -> str:
    """The convolution that makes what `spatial` makes."""
    return f"{name}.pointwise" if g.separable else f"{name}.dense"


def _branch_names(g: Genotype) -> list[str]:
    rates = [_spatial_name(f"aspp.rate{i}", g) for i in range(1, len(g.aspp_rates) + 1)]
    return [*(["aspp.1x1"] if g.aspp_1x1 else []), *rates, *(["aspp.pool.conv"] if g.image_pooling else [])]


def _decoder_names(g: Genotype) -> list[str]:
    return [_spatial_name(f"decoder.{i}", g) for i in range(1, len(g.decoder) + 1)]
