"""How the winner is chosen among a search's best candidates."""

import copy
import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stage_runs import BySize

from compress.files.tensors import load_network
from compress.stages import presets
from compress.stages.run import open_run
from compress.stages.train import winner_schedule
from compress.tflite.writer import random_weight_model
from nas import strategy
from nas.finalists import choose_winner, resolutions_in_turns
from nas.finals import EMA, Finals, as_finalist
from nas.halving import END, Train, best_reward_first, halve, survivors
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
    rungs = [str(steps) for steps in presets.PRESETS["toy"].rungs]
    last = [one for one in finalists if END in one["mious"]]
    assert sorted("by_hand" in one for one in last) == [False, True]
    for rung, beyond in itertools.pairwise([*rungs, END]):
        compared = [one for one in finalists if rung in one["mious"]]
        rewards = {one["id"]: reward(one["mious"][rung], one["predicted_latency_ms"], budget_ms) for one in compared}
        for by_hand in (True, False):
            alike = [one["id"] for one in compared if ("by_hand" in one) == by_hand]
            on = [one["id"] for one in compared if ("by_hand" in one) == by_hand and beyond in one["mious"]]
            assert on and max(rewards[one] for one in alike) == max(rewards[one] for one in on)
    best = max(last, key=lambda one: one["mious"][END])
    winner = load_network(whole / "search" / "winner.pt")
    assert winner.genotype.id == best["id"]
    named = finalist_name(best, winner.genotype.id)  # a network by hand has that name too
    assert named.endswith(", winner")
    assert f"<td>{named}<" in (whole / "report.html").read_text()
    kept = load_network(whole / "search" / "trained" / best["id"] / "network.pt")
    left = [file.name for file in (whole / "search" / "trained").glob("*/*")]
    assert set(left) == {"network.pt", "log.csv", *(f"after-{rung}.pt" for rung in rungs)}  # no checkpoint
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


def training(mious: Mapping[str, float] | None = None) -> Train:
    """Training that gives networks these mIoU by their ids, or leaves theirs as it is."""
    return lambda rung, candidates: [mious[c.genotype.id] if mious else c.miou for c in candidates]


def test_the_best_trained_candidate_wins_and_none_over_the_budget_is_trained(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = within(whole, three[0])
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=len(three)))
    refined = {three[1].genotype.id: 0.3, three[2].genotype.id: 0.4}
    winner, finalists = choose_winner(run, three, training(refined), shares_weights=True)
    assert winner == three[2].genotype
    assert [bool(one["mious"]) for one in finalists] == [False, True, True]


def test_the_next_best_are_finalists_where_others_are_too_slow(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=1))
    winner, finalists = choose_winner(within(whole, three[0]), three, training(), shares_weights=True)
    assert (winner, len(finalists)) == (three[1].genotype, 2)
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=2))
    asked: list[tuple[int | None, Sequence[Candidate]]] = []

    def train(rung: int | None, candidates: Sequence[Candidate]) -> list[float]:
        asked.append((rung, candidates))
        return [c.miou for c in candidates]

    choose_winner(within(whole, three[0]), three, train, shares_weights=True)
    assert asked == [(rung, three[1:]) for rung in (*presets.PRESETS["toy"].rungs, None)]  # the first takes no place
    with pytest.raises(BudgetError, match="none of 3 candidates meets --budget-ms 50"):
        choose_winner(within(whole, None), three, training(), shares_weights=True)


def test_what_would_be_pruned_is_a_finalist_only_where_no_other_is_within_budget(
    whole: Path, three: list[Candidate]
) -> None:
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    tight = [dataclasses.replace(c, latency_ms=49.0) for c in three]  # of a budget of 50
    for found, winner in (([*tight[:2], three[2]], three[2]), (tight, tight[0])):
        assert choose_winner(within(whole, larger), found, training(), shares_weights=True)[0] == winner.genotype
    winner, measured = choose_winner(within(whole, three[0]), [three[0], tight[2]], training(), shares_weights=True)
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
        asked = (within(whole, larger), [proposed], training(refined), True, by_hand)
        winner, records = choose_winner(*asked)
        assert winner == best.genotype
        assert [one.get("by_hand") for one in records] == [None, "hand 0", "hand 1"]


def test_a_compact_network_is_trained_to_the_end_in_place_of_a_worse_proposal(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=1))
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    proposed, other, by_hand = three
    known = [dataclasses.replace(other, name="compact"), dataclasses.replace(by_hand, name="hand", by_hand=True)]
    for miou, enters in ((0.6, other), (0.4, proposed)):
        refined = {proposed.genotype.id: 0.5, other.genotype.id: miou, by_hand.genotype.id: 0.3}
        winner, records = choose_winner(within(whole, larger), [proposed], training(refined), True, known)
        assert winner == enters.genotype
        assert {one["id"] for one in records if END in one["mious"]} == {enters.genotype.id, by_hand.genotype.id}
        assert [one.get("known") for one in records] == [None, "compact", None]


def test_a_network_by_hand_that_the_study_proposed_keeps_its_name(whole: Path, three: list[Candidate]) -> None:
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    by_hand = [dataclasses.replace(three[0], name="by hand", by_hand=True, miou=0.1)]
    _, records = choose_winner(within(whole, larger), three[:2], training(), True, by_hand)
    assert {one["id"]: one.get("by_hand") for one in records} == {
        three[1].genotype.id: None,
        three[0].genotype.id: "by hand",
    }
    winner, _ = choose_winner(within(whole, larger), three[:1], training(), True, by_hand)
    assert winner == three[0].genotype


@pytest.mark.parametrize("shares_weights", [True, False])
def test_rewards_choose_who_is_trained_to_the_end_and_miou_who_wins(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch, shares_weights: bool
) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=len(three)))
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    found = [dataclasses.replace(c, latency_ms=ms) for c, ms in zip(three, (40.0, 20.0, 10.0), strict=True)]
    refined = dict(zip((c.genotype.id for c in three), (0.500, 0.515, 0.530), strict=True))
    winner, records = choose_winner(within(whole, larger), found, training(refined), shares_weights)
    assert [one["id"] for one in records if END in one["mious"]] == [c.genotype.id for c in three[:2]]
    assert winner == three[1].genotype


def test_a_network_by_hand_that_learns_slowly_is_trained_to_the_end(
    whole: Path, three: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short training favours what learns fast: there the network by hand is last, and the end turns that round."""
    monkeypatch.setitem(presets.PRESETS, "toy", dataclasses.replace(presets.PRESETS["toy"], finalists=2))
    larger = dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=128))
    ids = [c.genotype.id for c in three]
    early = dict(zip(ids, (0.3, 0.4, 0.5), strict=True))

    def train(rung: int | None, candidates: Sequence[Candidate]) -> list[float]:
        mious = {ids[0]: 0.7, ids[2]: 0.6} if rung is None else early
        return [mious[c.genotype.id] for c in candidates]

    by_hand = [dataclasses.replace(three[0], name="by hand", by_hand=True)]
    winner, records = choose_winner(within(whole, larger), three[1:], train, True, by_hand)
    assert winner == three[0].genotype
    assert {one["id"]: one["mious"].get(END) for one in records} == {ids[1]: None, ids[2]: 0.6, ids[0]: 0.7}


@given(
    st.lists(st.tuples(st.floats(0.1, 0.9), st.floats(1, 30), st.booleans()), min_size=1, max_size=12),
    st.integers(2, 8),
)
def test_survivors_are_the_best_rewards_with_one_of_each_kind(
    found: list[tuple[float, float, bool]], count: int
) -> None:
    genotype: Any = None
    compared = [Candidate(genotype, ms, miou, name=str(i), by_hand=hand) for i, (miou, ms, hand) in enumerate(found)]
    kept = survivors(compared, count, budget_ms=30.0)
    assert len(kept) == min(count, len(compared))
    assert {one.by_hand for one in kept} == {one.by_hand for one in compared}
    assert kept == [one for one in best_reward_first(compared, 30.0) if one in kept]
    worst = {hand: [reward(c.miou, c.latency_ms, 30.0) for c in kept if c.by_hand == hand] for hand in (True, False)}
    for out in compared:
        if out not in kept:
            assert reward(out.miou, out.latency_ms, 30.0) <= min(worst[out.by_hand])


def test_half_of_the_finalists_go_on_and_two_to_the_end(three: list[Candidate]) -> None:
    finalists = [
        dataclasses.replace(three[0], genotype=dataclasses.replace(three[0].genotype, aspp_out=8 * n), miou=n / 10)
        for n in range(1, 8)
    ]
    trained: list[tuple[int | None, int]] = []

    def train(rung: int | None, candidates: Sequence[Candidate]) -> list[float]:
        trained.append((rung, len(candidates)))
        return [one.miou for one in candidates]

    outcome = halve(finalists, (10, 20), train, budget_ms=30.0)
    assert trained == [(10, 7), (20, 4), (None, 2)]
    assert outcome.winner == finalists[-1].genotype
    assert [list(outcome.mious[one.genotype]) for one in finalists[2:5]] == [["10"], ["10", "20"], ["10", "20"]]


def test_finalists_start_from_the_donor_and_without_one_from_what_scored_them(
    whole: Path, three: list[Candidate], tmp_path: Path
) -> None:
    made: list[str] = []

    def built(start: str) -> Callable[[Genotype], Network]:
        return lambda genotype: made.append(start) or Network(genotype)

    genotype = three[0].genotype
    for donor, start in ((built("donor"), "donor"), (lambda genotype: None, "supernet")):
        run = dataclasses.replace(open_run(whole), path=tmp_path / start)
        finals = Finals(run, lambda network: 0.5, built("supernet"), donor)
        begun, again = (finals.started(genotype).state_dict() for _ in range(2))
        assert all(torch.equal(begun[name], again[name]) for name in begun)  # built once, then kept
    assert made == ["donor", "supernet"]


def test_finalists_are_compared_with_averaged_weights(whole: Path, three: list[Candidate], tmp_path: Path) -> None:
    """Over the steps before a rung; with `--ema` as the user wants it."""
    torch.manual_seed(0)
    start, genotype, after = Network(three[0].genotype), three[0].genotype, {}
    for ema in (0.0, 0.9999999, 1e-9):
        stored = open_run(whole)
        run = dataclasses.replace(stored, path=tmp_path / str(ema), config=dataclasses.replace(stored.config, ema=ema))
        schedule = as_finalist(run, run.config.schedule("train"))
        assert schedule.ema == (ema or EMA)
        finals = Finals(run, lambda network: 0.5, lambda genotype: copy.deepcopy(start))
        finals.train(3, three[:1])
        after[ema] = load_network(finals.file(genotype, 3)).state_dict()["layers.stem.conv.weight"]
    last, averaged = after[1e-9], after[0.0]  # the weights of the last step alone, and those of the default
    torch.testing.assert_close(averaged, after[0.9999999])  # after three steps both average alike
    moved = start.state_dict()["layers.stem.conv.weight"]
    assert 0 < float((averaged - last).norm()) < float((moved - last).norm())


def test_a_finalist_that_paused_ends_as_one_that_did_not(whole: Path, three: list[Candidate], tmp_path: Path) -> None:
    """The checkpoints, the scores and the last weights are those of one training."""
    torch.manual_seed(0)
    start = Network(three[0].genotype).state_dict()

    def built(genotype: Genotype) -> Network:
        network = Network(genotype)
        network.load_state_dict(start)
        return network

    ended = []
    for rungs in ((), (1,), (2, 3)):
        run = dataclasses.replace(open_run(whole), path=tmp_path / str(len(rungs)))
        finals = Finals(run, lambda network: 0.5, built)
        for rung in (*rungs, None):
            finals.train(rung, three[:1])
        finals.finish()
        ended.append(load_network(finals.file(three[0].genotype, None)).state_dict())
        log = (run.trained_folder(three[0].genotype) / "log.csv").read_text()
        assert [int(line.partition(",")[0]) for line in log.splitlines()[1:]] == [
            *rungs,
            winner_schedule(run.config, 1).steps,
        ]
    for other in ended[1:]:
        assert all(torch.equal(value, other[name]) for name, value in ended[0].items())
