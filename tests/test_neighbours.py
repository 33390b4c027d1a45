"""A search starts near the networks that one would make by hand."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_studies import problem

from nas.by_hand import networks_by_hand
from nas.compact import compact_networks
from nas.feasibility import Survey, initial_draws, survey_space
from nas.neighbours import neighbours
from nas.problem import Problem
from nas.winner import known_candidates
from search_spaces import SPACES, get_space
from search_spaces.genotype import Genotype
from search_spaces.nearby import NearbyTrial, choices_of
from search_spaces.trials import LargestTrial, RandomTrial, SmallestTrial, Trial

SIZES = ((128, 128), (360, 480), (512, 512))


def nearest(genotype: Genotype, size: tuple[int, int]) -> Genotype:
    trial = NearbyTrial(choices_of(genotype, size), random.Random(0))
    return get_space(genotype.space).sample(trial, genotype.classes, size)


@given(st.sampled_from(sorted(SPACES)), st.sampled_from(SIZES), st.integers(0))
def test_the_nearest_network_to_a_member_is_itself(space: str, size: tuple[int, int], seed: int) -> None:
    trials: list[Trial] = [RandomTrial(random.Random(seed)), SmallestTrial(), LargestTrial()]
    for member in (get_space(space).sample(trial, 8, size) for trial in trials):
        assert nearest(member, size) == member


@pytest.mark.parametrize("space", SPACES)
def test_a_trial_that_wants_nothing_draws_the_smallest_network(space: str) -> None:
    smallest = get_space(space).sample(SmallestTrial(), 8, (128, 128))
    assert get_space(space).sample(NearbyTrial({}, random.Random()), 8, (128, 128)) == smallest


def test_the_nearest_network_to_one_by_hand_has_its_blocks() -> None:
    for known in networks_by_hand(problem(), 4.0).values():
        found = nearest(known, problem().input_size)
        assert [(s.kernel, len(s.hidden)) for s in found.stages] == [(s.kernel, len(s.hidden)) for s in known.stages]
        assert (found.resolution, found.output_stride) == (known.resolution, known.output_stride)
        for wanted, got in zip(known.stages[:5], found.stages[:5], strict=True):
            assert abs(wanted.width - got.width) <= 8 or got.width in (8, 16, 24)  # the narrowest of its stage


def test_neighbours_are_feasible_and_each_comes_once(surveyed: Survey) -> None:
    assert len(surveyed.nearby) > 20
    assert len({drawn.genotype for drawn in surveyed.nearby}) == len(surveyed.nearby)
    for drawn in surveyed.nearby:
        assert problem().constraints.are_met_by(drawn.costs)
        trial = NearbyTrial(drawn.params, random.Random(0))
        assert problem().genotype(trial) == drawn.genotype
        assert trial.params == drawn.params
    assert neighbours(problem(), 3.8, 0) == surveyed.nearby
    assert neighbours(problem(), 3.8, 1) != surveyed.nearby


def test_compact_networks_come_first_and_then_the_nearest_of_each_network_by_hand(surveyed: Survey) -> None:
    size = problem().input_size
    compact = compact_networks(problem(), 3.8).values()
    known = [one for head in (1.0, 0.5, 0.25) for one in networks_by_hand(problem(), 3.8, head).values()]
    expected = [one for one in (nearest(one, size) for one in [*compact, *known]) if feasible(problem(), one)]
    unlike = list(dict.fromkeys(expected))
    assert len(unlike) > 4
    assert [drawn.genotype for drawn in surveyed.nearby[: len(unlike)]] == unlike


def test_known_networks_are_candidates() -> None:
    found = known_candidates(problem(), 3.8, lambda one: one.stages[-1].width / 1000)
    kinds = [one.name.partition(" x ")[0] for one in found]
    assert kinds == ["mobilenet_v2", "efficientnet_lite0", "compact, depth 2", "compact, depth 3"]
    assert [one.by_hand for one in found] == [True, True, False, False]
    for one in found:
        assert one.miou == one.genotype.stages[-1].width / 1000
        assert one.genotype.head_stride == 2
        assert one.latency_ms == problem().costs(one.genotype).latency_ms <= 3.8


@pytest.mark.parametrize("space", ["deeplabv1", "deeplabv2", "deeplabv3", "deeplabv3plus", "lraspp"])
def test_compact_networks_fill_the_budget(space: str) -> None:
    asked = replace(problem(), space=get_space(space))
    shallow, deep = compact_networks(asked, 3.8).values()
    assert max(len(stage.hidden) for stage in shallow.stages) < max(len(stage.hidden) for stage in deep.stages)
    for found in (shallow, deep):
        assert asked.costs(found).latency_ms <= 3.8
        assert found.output_stride == 8
    tight = compact_networks(asked, 2.0).values()
    assert len(tight) == 2
    assert all(asked.costs(one).latency_ms <= 2.0 for one in tight)
    assert compact_networks(asked, 1e-6) == {}


def feasible(asked: Problem, genotype: Genotype) -> bool:
    return asked.constraints.are_met_by(asked.costs(genotype))


def test_a_lighter_head_leaves_more_to_the_backbone() -> None:
    heads = (1.0, 0.5, 0.25)
    found = [networks_by_hand(problem(), 3.8, head) for head in heads]
    for backbone in ("mobilenet_v2", "efficientnet_lite0"):
        ((whole, *_),) = [[g for name, g in one.items() if name.startswith(backbone)] for one in found[:1]]
        ((light, *_),) = [[g for name, g in one.items() if name.startswith(backbone)] for one in found[2:]]
        assert light.resolution >= whole.resolution
        assert light.aspp_out < whole.aspp_out
        assert (light.resolution, light.stages[-1].width) >= (whole.resolution, whole.stages[-1].width)


@pytest.mark.parametrize("count", [1, 2, 16])
def test_half_of_the_first_candidates_are_neighbours(surveyed: Survey, count: int) -> None:
    params, nearby = initial_draws(surveyed, count), [drawn.params for drawn in surveyed.nearby]
    assert len(params) == count
    assert params[: count // 2] == nearby[: count // 2]
    assert not any(one in nearby for one in params[count // 2 :])


def test_a_space_without_known_networks_has_no_neighbours() -> None:
    unknown = replace(problem(), space=replace(problem().space, name="unknown"))
    assert neighbours(unknown, 3.8, 0) == ()
    assert survey_space(unknown, 0).nearby == ()
