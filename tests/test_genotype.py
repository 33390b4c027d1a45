"""Genotypes and the space: what is sampled is valid, survives JSON, prints short and costs what its ops cost."""

import dataclasses
import hashlib
import random

import pytest
from conftest import random_genotype, seven_stages, tiny_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from search_spaces import SPACES, costs, get_space, graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype, Stage
from search_spaces.ops import ARGMAX, CONCAT, DEPTHWISE, INPUT
from search_spaces.trials import LargestTrial, RandomTrial, SmallestTrial
from search_spaces.widths import prunable_widths, with_widths

seeds = st.integers(0, 10**6)
names = st.sampled_from(sorted(SPACES))
genotypes = st.builds(random_genotype, seeds, space=names)


@given(genotypes)
def test_json_round_trip_keeps_value_and_id(genotype: Genotype) -> None:
    again = Genotype.from_dict(genotype.to_dict())
    assert again == genotype
    assert again.id == genotype.id


@given(genotypes, genotypes)
def test_spelling_and_id_differ_exactly_when_the_value_differs(a: Genotype, b: Genotype) -> None:
    assert (a == b) == (str(a) == str(b)) == (a.id == b.id)


@given(genotypes, st.sampled_from(["swish", "squeeze", "separable"]))
def test_each_variant_is_spelled(genotype: Genotype, field: str) -> None:
    stage = genotype.stages[-1]
    assume(field != "separable" or genotype.aspp_rates or genotype.decoder)
    others = {
        "swish": {"stages": (*genotype.stages[:-1], dataclasses.replace(stage, swish=not stage.swish))},
        "squeeze": {
            "stages": (
                *genotype.stages[:-1],
                dataclasses.replace(stage, squeeze=() if stage.squeeze else (8,) * len(stage.hidden)),
            )
        },
        "separable": {"separable": not genotype.separable},
    }
    other = dataclasses.replace(genotype, **others[field])
    assert str(other) != str(genotype)
    assert other.id != genotype.id
    assert Genotype.from_dict(other.to_dict()) == other


def test_what_was_written_before_there_were_variants_stays_as_it_was(tiny: Genotype) -> None:
    assert tiny.id == "6106e28482"
    assert tiny.to_dict().keys().isdisjoint({"aspp_1x1", "separable"})
    assert set(tiny.to_dict()["stages"][0]) == {"width", "kernel", "hidden"}


FIRST_DRAWS = {
    "deeplabv1": "ef40370eec",
    "deeplabv2": "5cc21013b4",
    "deeplabv3": "aa59a5aa0e",
    "deeplabv3plus": "21261b3a39",
    "lraspp": "017c959066",
}


@pytest.mark.parametrize("name", SPACES)
def test_same_draws_give_the_same_genotype(name: str) -> None:
    """In every version: a search that is resumed or repeated meets the same candidates."""
    assert random_genotype(0, space=name).id == FIRST_DRAWS[name]
    others = {random_genotype(seed, space=name).id for seed in range(20)}
    assert len(others) == 20
    assert {random_genotype(seed, space=name).id for seed in range(20)} == others


@given(seeds, names)
def test_drawn_params_replay_to_the_same_genotype(seed: int, name: str) -> None:
    drawn, space = RandomTrial(random.Random(seed)), get_space(name)
    genotype = space.sample(drawn, 3, (128, 128))
    assert space.sample(FixedTrial(drawn.params), 3, (128, 128)) == genotype


@given(genotypes)
@settings(max_examples=100)
def test_graph_is_closed_and_ends_with_the_class_map(genotype: Genotype) -> None:
    known = {INPUT: (*genotype.resolution, 3)}
    for op in graph_of(genotype):
        assert [known[name] for name in op.inputs] == list(op.in_shapes)
        assert op.name not in known
        known[op.name] = op.shape
    assert op.kind == ARGMAX
    assert op.shape == (*(side // genotype.head_stride for side in genotype.resolution), 1)


@pytest.mark.parametrize("name", SPACES)
def test_space_spans_forty_times_in_macs(name: str) -> None:
    small, large = (
        costs.macs(graph_of(get_space(name).sample(t, 8, (512, 512)))) for t in (SmallestTrial(), LargestTrial())
    )
    assert large > 40 * small


@given(genotypes)
def test_no_draw_is_outside_smallest_and_largest(genotype: Genotype) -> None:
    space = get_space(genotype.space)
    low, high = (costs.macs(graph_of(space.sample(t, 3, (128, 128)))) for t in (SmallestTrial(), LargestTrial()))
    assert low <= costs.macs(graph_of(genotype)) <= high


@given(genotypes)
def test_widths_read_and_write_the_same(genotype: Genotype) -> None:
    space = get_space(genotype.space)
    widths = prunable_widths(genotype)
    assert with_widths(genotype, widths) == genotype
    made = {op.name: op.shape[2] for op in space.graph(genotype) if op.has_weights}
    assert widths.items() <= made.items()


@given(genotypes)
def test_no_concat_has_more_parts_than_xnnpack_takes(genotype: Genotype) -> None:
    assert max((len(op.inputs) for op in graph_of(genotype) if op.kind == CONCAT), default=0) <= 5


@pytest.mark.parametrize("name", ["stem", "stage2.0.project", "stage3.0.expand", "aspp.1x1", "decoder.1.pointwise"])
def test_a_narrower_width_changes_that_convolution(tiny: Genotype, name: str) -> None:
    tiny = dataclasses.replace(tiny, stem=16)
    narrower = with_widths(tiny, prunable_widths(tiny) | {name: 8})
    assert {op.name: op.shape[2] for op in graph_of(narrower)}[name] == 8
    assert costs.params(graph_of(narrower)) < costs.params(graph_of(tiny))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"stem": 12}, "stem must be a positive multiple of 8, not 12"),
        ({"output_stride": 32}, "output_stride must be 8 or 16, not 32"),
        ({"aspp_rates": (0, 6)}, "aspp_rates"),
        ({"aspp_widths": (16,)}, "aspp_widths must name 4 branches"),
        ({"head_stride": 3}, "head_stride"),
        ({"classes": 1}, "classes must be 2 to 255"),
        ({"resolution": (8, 8)}, "resolution"),
        ({"aspp_1x1": False}, "aspp_widths must name 3 branches"),
        ({"aspp_rates": (2, 4, 6, 8)}, "there must be 1 to 5 ASPP branches, not 6"),
        ({"aspp_rates": (), "aspp_widths": (8, 8), "decoder": (), "separable": False}, "no 3x3 convolution"),
        ({"separable": "no"}, "separable must be true or false, not 'no'"),
        ({"low_level": -8}, "low_level must be a positive multiple of 8, not -8"),
    ],
)
def test_a_value_outside_the_rules_is_named(tiny: Genotype, change: dict[str, object], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        dataclasses.replace(tiny, **change)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"squeeze": (8,)}, "squeeze must name no block or all 2"),
        ({"squeeze": (8, 4)}, "squeeze width must be a positive multiple of 8, not 4"),
        ({"swish": 1}, "swish must be true or false, not 1"),
    ],
)
def test_a_stage_outside_the_rules_is_named(change: dict[str, object], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        dataclasses.replace(Stage(16, 3, (16, 24)), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("space", "change", "said"),
    [
        ("deeplabv1", {"aspp_rates": (6, 12), "aspp_widths": (24, 24)}, "takes 1 atrous rates, not"),
        ("deeplabv2", {"aspp_rates": (6,), "aspp_widths": (24,)}, "takes 2 to 4 atrous rates"),
        ("deeplabv2", {"aspp_out": 8}, "has no aspp_out; given is 8"),
        ("deeplabv3", {"low_level": 8}, "has no low_level; given is 8"),
        ("deeplabv3", {"aspp_out": 0}, "needs aspp_out; given is 0"),
        ("deeplabv3plus", {"decoder": (), "separable": True}, "needs decoder"),
        ("lraspp", {"image_pooling": True, "aspp_widths": (8, 8)}, "has no image_pooling; given is True"),
        ("lraspp", {"aspp_out": 8}, "has no aspp_out; given is 8"),
        ("lraspp", {"stages": (Stage(8, 3, (16,)),)}, "has 5 to 7 stages, not 1"),
    ],
)
def test_a_part_that_a_space_does_not_have_is_named(space: str, change: dict[str, object], said: str) -> None:
    genotype = dataclasses.replace(tiny_of(space), **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"genotype: {space} {said}"):
        graph_of(genotype)


GRAPHS_OF_FIVE_STAGES = {
    "deeplabv1": "3112966aaffff48d",
    "deeplabv2": "d8fb7a3e67ea227a",
    "deeplabv3": "67cb35055b4bcbce",
    "deeplabv3plus": "ca2fc6fb0fd59f5b",
    "lraspp": "11c15a5e41a9fcd5",
}


def digest_of(genotype: Genotype) -> str:
    return hashlib.sha256("\n".join(repr(tuple(op)) for op in graph_of(genotype)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", SPACES)
def test_networks_of_five_stages_keep_their_ops(name: str) -> None:
    """Run folders of older versions hold them."""
    assert digest_of(tiny_of(name)) == GRAPHS_OF_FIVE_STAGES[name]


def test_the_first_published_network_keeps_its_ops() -> None:
    """SlimLab's CamVid network of version 0.1."""
    genotype = Genotype(
        space="deeplabv3plus",
        classes=11,
        resolution=(360, 480),
        stem=16,
        stages=(
            Stage(16, 3, (64,)),
            Stage(40, 3, (96, 240)),
            Stage(64, 5, (240, 384)),
            Stage(56, 5, (384,)),
            Stage(64, 5, (112, 128)),
        ),
        output_stride=8,
        aspp_rates=(6,),
        image_pooling=True,
        aspp_widths=(192, 192, 192),
        aspp_out=192,
        low_level=48,
        decoder=(64, 64),
        head_stride=1,
    )
    assert (genotype.id, digest_of(genotype)) == ("c239c55627", "aa50c29901c3b1da")


@pytest.mark.parametrize("count", [6, 7])
def test_stages_of_mobilenetv2_have_its_strides_and_no_first_expansion(count: int) -> None:
    genotype = seven_stages(tiny_of("deeplabv3plus"))
    genotype = dataclasses.replace(genotype, stages=genotype.stages[:count], output_stride=16)
    graph = graph_of(genotype)
    sides = {op.name: op.shape[0] for op in graph}
    assert [op.name for op in graph if op.has_weights][:3] == ["stem", "stage1.0.depthwise", "stage1.0.project"]
    assert [sides[f"stage{i}.0.project"] for i in range(1, count + 1)] == [32, 16, 8, 4, 4, 4, 4][:count]
    rates = {op.name: op.dilation for op in graph if op.kind == DEPTHWISE}
    assert rates["stage6.0.depthwise"] == 1  # its input has the resolution for which its kernel was made
    assert rates["stage6.1.depthwise"] == 2
    assert rates.get("stage7.0.depthwise", 2) == 2


def test_an_output_stride_of_eight_doubles_the_rate_twice() -> None:
    graph = graph_of(dataclasses.replace(seven_stages(tiny_of("deeplabv3plus")), output_stride=8))
    rates = {op.name: op.dilation for op in graph if op.kind == DEPTHWISE}
    found = [rates[f"stage{i}.{b}.depthwise"] for i, b in ((3, 1), (4, 0), (4, 1), (5, 0), (6, 0), (6, 1), (7, 0))]
    assert found == [1, 1, 2, 2, 2, 4, 4]


def test_a_first_block_without_expansion_is_as_wide_as_the_stem() -> None:
    genotype = dataclasses.replace(seven_stages(tiny_of("lraspp")), stem=16)
    with pytest.raises(InputError, match=r"the first block of 7 stages has no expansion, .* the stem's 16, not 8"):
        graph_of(genotype)


@pytest.mark.parametrize("broken", [{}, {"stages": 3}, [], {"stages": [{"width": 8}]}])
def test_anything_but_a_genotype_is_refused(broken: object) -> None:
    with pytest.raises(InputError, match="not a genotype"):
        Genotype.from_dict(broken)  # type: ignore[arg-type]


def test_unknown_space_lists_the_choices() -> None:
    with pytest.raises(InputError, match="choose from deeplabv1, deeplabv2, deeplabv3, deeplabv3plus, lraspp"):
        get_space("unet")


def test_macs_of_a_known_convolution(tiny: Genotype) -> None:
    stem = next(op for op in graph_of(tiny) if op.name == "stem")
    assert costs.op_macs(stem) == 32 * 48 * 8 * 3 * 3 * 3
