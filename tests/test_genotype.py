"""Genotypes and the space: what is sampled is valid, survives JSON, prints short and costs what its ops cost."""

import dataclasses
import random
from collections.abc import Sequence

import pytest
from conftest import random_genotype
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import costs, deeplabv3plus, get_space, graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.ops import ARGMAX, INPUT
from search_spaces.trials import Choice, Largest, Random, Smallest

seeds = st.integers(0, 10**6)


@given(seeds)
def test_json_round_trip_keeps_value_and_id(seed: int) -> None:
    genotype = random_genotype(seed)
    again = Genotype.from_dict(genotype.to_dict())
    assert again == genotype
    assert again.id == genotype.id


@given(seeds, seeds)
def test_spelling_and_id_differ_exactly_when_the_value_differs(one: int, other: int) -> None:
    a, b = random_genotype(one), random_genotype(other)
    assert (a == b) == (str(a) == str(b)) == (a.id == b.id)


@given(seeds)
def test_same_draws_give_the_same_genotype(seed: int) -> None:
    assert random_genotype(seed) == random_genotype(seed)


@given(seeds)
def test_drawn_params_replay_to_the_same_genotype(seed: int) -> None:
    drawn = Random(random.Random(seed))
    genotype = deeplabv3plus.sample(drawn, 3, (128, 128))

    class Replay:
        def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
            return int(drawn.params[name])

        def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
            return drawn.params[name]  # type: ignore[return-value]

    assert deeplabv3plus.sample(Replay(), 3, (128, 128)) == genotype


@given(seeds)
@settings(max_examples=50)
def test_graph_is_closed_and_ends_with_the_class_map(seed: int) -> None:
    genotype = random_genotype(seed)
    known = {INPUT: (*genotype.resolution, 3)}
    for op in graph_of(genotype):
        assert [known[name] for name in op.inputs] == list(op.in_shapes)
        assert op.name not in known
        known[op.name] = op.shape
    assert op.kind == ARGMAX
    assert op.shape == (*(side // genotype.head_stride for side in genotype.resolution), 1)


def test_space_spans_forty_times_in_macs() -> None:
    small, large = (costs.macs(graph_of(deeplabv3plus.sample(t, 8, (512, 512)))) for t in (Smallest(), Largest()))
    assert large > 40 * small


@given(seeds)
def test_no_draw_is_outside_smallest_and_largest(seed: int) -> None:
    low, high = (costs.macs(graph_of(deeplabv3plus.sample(t, 3, (128, 128)))) for t in (Smallest(), Largest()))
    assert low <= costs.macs(graph_of(random_genotype(seed))) <= high


@given(seeds)
def test_widths_read_and_write_the_same(seed: int) -> None:
    genotype = random_genotype(seed)
    space = get_space(genotype.space)
    assert space.with_widths(genotype, space.widths(genotype)) == genotype


@pytest.mark.parametrize("name", ["stem", "stage2.0.project", "stage3.0.expand", "aspp.1x1", "decoder.1.pointwise"])
def test_a_narrower_width_changes_that_convolution(tiny: Genotype, name: str) -> None:
    space = get_space(tiny.space)
    tiny = dataclasses.replace(tiny, stem=16)
    narrower = space.with_widths(tiny, space.widths(tiny) | {name: 8})
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
    ],
)
def test_a_value_outside_the_rules_is_named(tiny: Genotype, change: dict[str, object], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        dataclasses.replace(tiny, **change)


@pytest.mark.parametrize("broken", [{}, {"stages": 3}, [], {"stages": [{"width": 8}]}])
def test_anything_but_a_genotype_is_refused(broken: object) -> None:
    with pytest.raises(InputError, match="not a genotype"):
        Genotype.from_dict(broken)  # type: ignore[arg-type]


def test_unknown_space_lists_the_choices() -> None:
    with pytest.raises(InputError, match="choose from deeplabv3plus"):
        get_space("unet")


def test_macs_of_a_known_convolution(tiny: Genotype) -> None:
    stem = next(op for op in graph_of(tiny) if op.name == "stem")
    assert costs.op_macs(stem) == 32 * 48 * 8 * 3 * 3 * 3
