"""How the winner is chosen among a search's best candidates."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from stage_runs import BySize

from compress.files.tensors import load_network, save_network
from compress.stages import presets
from compress.stages.config import Part
from compress.stages.run import open_run
from compress.tflite.writer import random_weight_model
from nas import strategy
from nas.finalists import best_reward_first, choose_winner, resolutions_in_turns
from nas.finals import Finals
from nas.pages.tables import finalist_name
from nas.score import reward
from nas.study import Candidate
from search_spaces import graph_of
from search_spaces.errors import BudgetError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

KINDS = ["compact, depth 2", "compact, depth 3"]


def test_the_winner_is_the_best_finalist_and_keeps_its_weights(whole: Path) -> None:
    finalists = json.loads((whole / "search" / "finalists.json").read_text())
    assert sum("by_hand" not in one and "known" not in one for one in finalists) == 2
    assert sorted(one["known"].partition(" x ")[0] for one in finalists if "known" in one) == KINDS
    budget_ms = json.loads((whole / "config.json").read_text())["budget_ms"]
    for one in finalists:
        assert one["refined_score"] == reward(one["refined_miou"], one["predicted_latency_ms"], budget_ms)
    last = [one for one in finalists if "runoff_miou" in one]
    assert sorted("by_hand" in one for one in last) == [False, True]
    for one in last:
        alike = [other for other in finalists if ("by_hand" in other) == ("by_hand" in one)]
        assert one["refined_score"] == max(other["refined_score"] for other in alike)
    best = max(last, key=lambda one: one["runoff_miou"])
    winner = load_network(whole / "search" / "winner.pt")
    assert winner.genotype.id == best["id"]
    named = finalist_name(best, winner.genotype.id)  # a network by hand has that name too
    assert named.endswith(", winner")
    assert f"<td>{named}<" in (whole / "report.html").read_text()
    kept = load_network(whole / "search" / "trained" / best["id"] / "network.pt")
    for made in (winner, load_network(whole / "train" / "network.pt")):  # the stage train has nothing to do
        for name, value in kept.state_dict().items():
            torch.testing.assert_close(made.state_dict()[name], value, rtol=0, atol=0)


@pytest.fixture
def three(tiny: Genotype) -> list[Candidate]:
    """Best score first, and each larger than the one after it."""
    genotypes = [dataclasses.replace(tiny, aspp_out=width) for width in (96, 48, 24)]
    return [Candidate(g, latency_ms=1.0, miou=0.9 - i / 10) for i, g in enumerate(genotypes)]


def test_finalists_of_each_resolution_come_in_turns(three: list[Candidate]) -> None:
    small = dataclasses.replace(three[2].genotype, resolution=(32, 32))
    found = [*three, Candidate(small, latency_ms=1.0, miou=0.1)]
    assert resolutions_in_turns(found) == [found[0], found[3], found[1], found[2]]


def test_a_candidate_is_compared_by_its_reward(three: list[Candidate]) -> None:
    """Half the latency takes 8 % off a score, so that a network must be that much better to come first."""
    slow = dataclasses.replace(three[0], latency_ms=20.0, miou=0.500)
    fast = [dataclasses.replace(three[1], latency_ms=10.0, miou=miou) for miou in (0.53, 0.55)]
    assert best_reward_first([fast[0], slow, fast[1]], budget_ms=30.0) == [fast[1], slow, fast[0]]


def within(whole: Path, smaller_than: Candidate | None) -> strategy.Run:
    """The run, on a target where its budget holds networks smaller than a candidate, or none."""
    run = open_run(whole)
    bound = 1 if smaller_than is None else len(random_weight_model(graph_of(smaller_than.genotype))) - 1
    unit = max(1, bound) / run.config.budget_ms
    run.__dict__["target"] = BySize(reference_ms=1.0, unit_bytes=unit)  # type: ignore[arg-type]
    return run


def refining(mious: Mapping[str, float] | None = None) -> Callable[[Part, Sequence[Candidate]], list[float]]:
    """Training that gives networks these mIoU by their ids, or leaves theirs as it is."""
    return lambda part, candidates: [mious[c.genotype.id] if mious else c.miou for c in candidates]


def test_the_best_refined_candidate_wins_and_none_over_the_budget_is_refined(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = within(whole, three[0])
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=len(three)))
    refined = {three[1].genotype.id: 0.3, three[2].genotype.id: 0.4}
    winner, finalists = choose_winner(run, three, refining(refined), shares_weights=True)
    assert winner == three[2].genotype
    assert ["refined_miou" in one for one in finalists] == [False, True, True]


def test_the_next_best_are_finalists_where_others_are_too_slow(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=1))
    winner, finalists = choose_winner(within(whole, three[0]), three, refining(), shares_weights=True)
    assert (winner, len(finalists)) == (three[1].genotype, 2)
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=2))
    rounds: list[tuple[Part, Sequence[Candidate]]] = []

    def refine(part: Part, candidates: Sequence[Candidate]) -> list[float]:
        rounds.append((part, candidates))
        return [c.miou for c in candidates]

    choose_winner(within(whole, three[0]), three, refine, shares_weights=True)
    assert rounds == [("finalist", three[1:]), ("train", three[1:])]  # the first takes no place
    with pytest.raises(BudgetError, match="none of 3 candidates meets --budget-ms 50"):
        choose_winner(within(whole, None), three, refining(), shares_weights=True)


def test_what_would_be_pruned_is_a_finalist_only_where_no_other_is_within_budget(
    whole: Path, three: list[Candidate]
) -> None:
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    tight = [dataclasses.replace(c, latency_ms=49.0) for c in three]  # of a budget of 50
    for found, winner in (([*tight[:2], three[2]], three[2]), (tight, tight[0])):
        assert choose_winner(within(whole, larger), found, refining(), shares_weights=True)[0] == winner.genotype
    winner, measured = choose_winner(within(whole, three[0]), [three[0], tight[2]], refining(), shares_weights=True)
    assert (winner, len(measured)) == (three[2].genotype, 2)  # the other is too slow, whatever the table says


def test_networks_by_hand_are_finalists_and_win_where_they_are_better(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=1))
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    proposed, *others = three
    by_hand = [dataclasses.replace(one, name=f"hand {i}", by_hand=True) for i, one in enumerate(others)]
    for miou, best in ((0.6, others[1]), (0.4, proposed)):
        refined = {proposed.genotype.id: 0.5, others[0].genotype.id: 0.3, others[1].genotype.id: miou}
        asked = (within(whole, larger), [proposed], refining(refined), True, by_hand)
        winner, records = choose_winner(*asked)
        assert winner == best.genotype
        assert [one.get("by_hand") for one in records] == [None, "hand 0", "hand 1"]


def test_a_compact_network_enters_the_runoff_in_place_of_a_worse_proposal(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=1))
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    proposed, other, by_hand = three
    known = [dataclasses.replace(other, name="compact"), dataclasses.replace(by_hand, name="hand", by_hand=True)]
    for miou, enters in ((0.6, other), (0.4, proposed)):
        refined = {proposed.genotype.id: 0.5, other.genotype.id: miou, by_hand.genotype.id: 0.3}
        winner, records = choose_winner(within(whole, larger), [proposed], refining(refined), True, known)
        assert winner == enters.genotype
        assert {one["id"] for one in records if "runoff_miou" in one} == {enters.genotype.id, by_hand.genotype.id}
        assert [one.get("known") for one in records] == [None, "compact", None]


def test_a_network_by_hand_that_the_study_proposed_keeps_its_name(whole: Path, three: list[Candidate]) -> None:
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    by_hand = [dataclasses.replace(three[0], name="by hand", by_hand=True, miou=0.1)]
    _, records = choose_winner(within(whole, larger), three[:2], refining(), True, by_hand)
    assert {one["id"]: one.get("by_hand") for one in records} == {
        three[1].genotype.id: None,
        three[0].genotype.id: "by hand",
    }
    winner, _ = choose_winner(within(whole, larger), three[:1], refining(), True, by_hand)
    assert winner == three[0].genotype


@pytest.mark.parametrize("shares_weights", [True, False])
def test_rewards_choose_who_enters_the_runoff_and_miou_who_wins_it(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch, shares_weights: bool
) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=len(three)))
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    found = [dataclasses.replace(c, latency_ms=ms) for c, ms in zip(three, (40.0, 20.0, 10.0), strict=True)]
    refined = dict(zip((c.genotype.id for c in three), (0.500, 0.515, 0.530), strict=True))
    winner, records = choose_winner(within(whole, larger), found, refining(refined), shares_weights)
    assert [one["id"] for one in records if "runoff_miou" in one] == [c.genotype.id for c in three[:2]]
    assert winner == three[1].genotype


def test_the_best_of_the_search_and_the_best_by_hand_meet_in_the_runoff(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short training favours what learns fast: there the network by hand is last, and the runoff turns that round."""
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=2))
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    ids = [c.genotype.id for c in three]
    rounds = {"finalist": dict(zip(ids, (0.3, 0.4, 0.5), strict=True)), "train": {ids[0]: 0.7, ids[2]: 0.6}}

    def refine(part: Part, candidates: Sequence[Candidate]) -> list[float]:
        return [rounds[part][c.genotype.id] for c in candidates]

    by_hand = [dataclasses.replace(three[0], name="by hand", by_hand=True)]
    winner, records = choose_winner(within(whole, larger), three[1:], refine, True, by_hand)
    assert winner == three[0].genotype
    assert {one["id"]: one.get("runoff_miou") for one in records} == {ids[1]: None, ids[2]: 0.6, ids[0]: 0.7}


def test_each_round_starts_from_the_donor_and_without_one_from_the_round_before(
    whole: Path, three: list[Candidate], tmp_path: Path
) -> None:
    run = dataclasses.replace(open_run(whole), path=tmp_path)
    made: list[str] = []

    def built(start: str) -> Callable[[Genotype], Network]:
        return lambda genotype: made.append(start) or Network(genotype)

    genotype = three[0].genotype
    finals = Finals(run, lambda network: 0.5, built("supernet"), built("donor"))
    finals.before("finalist", genotype)
    save_network(Network(genotype), finals.file("finalist", genotype))
    finals.before("train", genotype)
    assert made == ["donor", "donor"]
    without = dataclasses.replace(finals, from_donor=lambda genotype: None)
    begun = without.before("train", genotype).state_dict()
    saved = load_network(finals.file("finalist", genotype)).state_dict()
    assert all(torch.equal(begun[name], saved[name]) for name in saved)
    assert made == ["donor", "donor"]
    without.before("finalist", genotype)
    assert made == ["donor", "donor", "supernet"]
