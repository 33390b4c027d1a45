"""Published networks are members of the spaces at every width multiplier."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from compress.files.genotypes import read_genotype
from search_spaces import SPACES, costs, get_space, graph_of
from search_spaces.errors import InputError
from search_spaces.known_networks import KNOWN_BACKBONES, compact_network, known_backbone, known_network, scaled_width
from search_spaces.widths import prunable_widths, with_widths

HALF = {"stages": 6, "max_depth": 2, "kernel": 3, "expansion": 4}


@given(st.sampled_from(sorted(KNOWN_BACKBONES)), st.floats(0.25, 1.0), st.sampled_from(sorted(SPACES)))
def test_every_multiplier_is_a_member(name: str, multiplier: float, space: str) -> None:
    for backbone in ({}, HALF):
        genotype = known_network(
            name, multiplier, 8, (128, 128), space=space, backbone=known_backbone(name, multiplier, **backbone)
        )
        assert costs.macs(graph_of(genotype)) > 0
        assert with_widths(genotype, prunable_widths(genotype)) == genotype


def test_a_half_of_lite0_with_fewer_and_smaller_kernels() -> None:
    fields = known_backbone("efficientnet_lite0", 0.5, **HALF)
    assert fields["stem"] == 16
    assert [stage.width for stage in fields["stages"]] == [8, 16, 24, 40, 56, 96]
    assert [len(stage.hidden) for stage in fields["stages"]] == [1, 2, 2, 2, 2, 2]
    assert fields["stages"][0].hidden == (16,)
    assert fields["stages"][1].hidden == (32, 64)


@pytest.mark.parametrize("name", KNOWN_BACKBONES)
def test_a_search_can_draw_the_published_backbones(name: str) -> None:
    fields = known_backbone(name)
    params = {"resolution_scale": 1.0, "stem": fields["stem"], "stages": 7, "output_stride": 16, "head_stride": 4}
    params |= {"aspp_branches": 0, "image_pooling": False, "aspp_width": 256}
    params |= {"low_level": 48, "decoder_width": 128, "decoder_depth": 1}
    for i, stage in enumerate(fields["stages"], start=1):
        params |= {f"stage{i}_width": stage.width, f"stage{i}_depth": len(stage.hidden)}
        params |= {f"stage{i}_kernel": stage.kernel, f"stage{i}_expansion": 6}
    drawn = get_space("deeplabv3plus").sample(FixedTrial(params), 8, (512, 512))
    assert drawn.stages == fields["stages"]


def test_parameters_are_those_that_are_published() -> None:
    """MobileNetV2 has 3.50 million, 1.69 million of them after the seventh stage."""
    graph = graph_of(known_network("mobilenet_v2", 1.0, 8, (224, 224), output_stride=16))
    backbone = tuple(op for op in graph if op.name.startswith(("stem", "stage")))
    weights = sum(
        op.weight_shape[0] * op.weight_shape[1] * op.kernel**2 + 2 * op.shape[2] for op in backbone if op.has_weights
    )
    assert weights == 3_504_872 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)


def test_widths_round_as_published() -> None:
    assert [scaled_width(c, 0.35) for c in (16, 24, 32, 64, 96, 160)] == [8, 8, 16, 24, 32, 56]


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(InputError, match="resnet: no known backbone; choose from mobilenet_v2, efficientnet_lite0"):
        known_backbone("resnet")
    with pytest.raises(InputError, match="width multiplier 0: give a positive number"):
        known_backbone("mobilenet_v2", 0)
    with pytest.raises(InputError, match="--space unet: no usual head is known"):
        known_network("mobilenet_v2", 1.0, 8, (64, 64), space="unet")


def test_the_published_network_is_compact() -> None:
    published = read_genotype(Path("runs/camvid/genotype.json"), "get it from the project")
    assert compact_network(0.75, 11, (360, 480)) == published


@given(st.floats(0.1, 1.0), st.sampled_from(sorted(SPACES)), st.sampled_from((2, 3)))
def test_compact_networks_are_members(multiplier: float, space: str, depth: int) -> None:
    genotype = compact_network(multiplier, 8, (128, 128), space=space, max_depth=depth)
    assert costs.macs(graph_of(genotype)) > 0
    assert genotype.head_stride == 1
