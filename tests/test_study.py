"""The study: every sampler, storage and pruner, and what is infeasible."""

import json
import random
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis.strategies import floats
from optuna.storages import InMemoryStorage
from optuna.trial import Trial, TrialState
from small_studies import problem, searched, worth

from compress.stages.config import RunConfig
from nas.candidate_loop import MAX_HOPELESS, CandidateLoop
from nas.constraints import Costs
from nas.feasibility import Survey, infeasible_count, initial_draws, survey_space
from nas.heartbeat import Worker
from nas.listing import read_scored_candidates, write_listing
from nas.pruners import PRUNERS, RUNGS
from nas.samplers import SAMPLERS
from nas.score import reward
from nas.storage_url import redacted
from nas.storages import open_storage
from nas.study import MAX_INITIAL_DRAWS, best_candidates, finished, open_study
from search_spaces.backbone import RESOLUTION_SCALE, RESOLUTION_SCALES
from search_spaces.errors import BudgetError, InputError
from search_spaces.genotype import Genotype


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_searches_within_the_budget(sampler: str, surveyed: Survey) -> None:
    count = 6 if sampler == "gp" else 24  # a Gaussian process takes seconds for each
    config = RunConfig(4.0, trials=count, sampler=sampler)
    study = searched(config, surveyed)
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == count
    assert all(t.user_attrs["predicted_latency_ms"] <= 4.0 for t in done)
    assert len({t.user_attrs["genotype"] for t in done}) > count / 2
    again = searched(config, surveyed)
    assert [t.params for t in study.get_trials()] == [t.params for t in again.get_trials()]


@given(floats(0.01, 1), floats(0.1, 100), floats(0.01, 1), floats(0.01, 1))
def test_a_reward_is_the_miou_at_the_budget_and_less_on_both_sides(
    miou: float, budget_ms: float, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    for latencies in ([s * budget_ms for s in (less, more)], [budget_ms / s for s in (less, more)]):
        farther, nearer = (reward(miou, latency_ms, budget_ms) for latency_ms in latencies)
        assert farther <= nearer + 1e-12
        assert nearer <= miou
    assert reward(miou, budget_ms, budget_ms) == miou


def test_the_sampler_is_told_what_is_written_down(surveyed: Survey, tmp_path: Path) -> None:
    study = searched(RunConfig(4.0, trials=12), surveyed, listing=tmp_path / "search.jsonl")
    found = read_scored_candidates(tmp_path / "search.jsonl")
    assert [t.value for t in study.get_trials(states=(TrialState.COMPLETE,))] == [one["score"] for one in found]
    assert all(one["score"] == reward(one["miou"], one["predicted_latency_ms"], 4.0) < one["miou"] for one in found)


def test_the_default_sampler_beats_chance(surveyed: Survey) -> None:
    """On the mean of what it proposes: the best of 40 is as often luck."""

    def mean_of_second_half(name: str) -> float:
        studies = [searched(RunConfig(4.0, trials=40, sampler=name), surveyed, seed) for seed in range(2)]
        values = [[t.value or 0.0 for t in s.get_trials(states=(TrialState.COMPLETE,))][-20:] for s in studies]
        return sum(map(sum, values))

    assert mean_of_second_half("tpe") > mean_of_second_half("random")


def test_resolutions_are_asked_for_in_turns(surveyed: Survey) -> None:
    """But for the feasible draws at the beginning; trained alone, candidates compare across resolutions."""

    def scales(strategy: str) -> list[float]:
        study = searched(RunConfig(4.0, trials=40, strategy=strategy), surveyed)
        return [trial.params[RESOLUTION_SCALE] for trial in study.get_trials()[16:25]]

    asked = scales("supernet")
    assert sorted(set(asked)) == sorted(RESOLUTION_SCALES)
    assert all(asked.count(scale) == 3 for scale in RESOLUTION_SCALES), asked
    assert any(scales("train").count(scale) != 3 for scale in RESOLUTION_SCALES)


def test_evolution_mutates_one_choice_of_a_good_candidate(surveyed: Survey) -> None:
    trials = searched(RunConfig(4.0, trials=30, strategy="train", sampler="evolution"), surveyed).get_trials()
    bred = [t for t in trials if "fixed_params" not in t.system_attrs]
    assert len(bred) >= 12
    for child in bred:
        parents = [t for t in trials[: child.number] if t.state is TrialState.COMPLETE]
        changed = min(
            sum(child.params[n] != v for n, v in parent.params.items() if n in child.params) for parent in parents
        )
        assert changed <= 1  # values of a branch that the child lost by that choice do not count


@pytest.mark.parametrize("pareto", ["latency", "size", "arena"])
def test_pareto_keeps_the_front(pareto: str, surveyed: Survey) -> None:
    study = searched(RunConfig(4.0, trials=20, pareto=pareto), surveyed)
    front = best_candidates(study)
    assert len(study.directions) == (2 if pareto == "latency" else 3)
    assert all(one.miou >= other.miou for one, other in pairwise(front))
    if pareto == "latency":
        assert all(one.latency_ms > other.latency_ms for one, other in pairwise(front))


def test_bounds_on_memory_are_kept(surveyed: Survey) -> None:
    middle = surveyed.feasible[len(surveyed.feasible) // 2].costs
    bounded = problem(size_bytes=middle.size_bytes, arena_bytes=middle.arena_bytes)
    config = RunConfig(4.0, trials=8, max_size_kib=middle.size_bytes / 1024, max_arena_kib=middle.arena_bytes / 1024)
    study = open_study("tried", InMemoryStorage(), config, survey_space(bounded, 0), {})
    with Worker(study) as worker:
        CandidateLoop(worker, bounded, config, 0, worth).run()
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == 8
    assert all(t.user_attrs["predicted_size_bytes"] <= middle.size_bytes for t in done)
    assert all(t.user_attrs["predicted_arena_bytes"] <= middle.arena_bytes for t in done)


def test_a_bound_nobody_meets_names_the_flag_and_the_smallest() -> None:
    with pytest.raises(BudgetError, match=r"meets --max-size-kib 1: the smallest takes [\d.]+ KiB of file"):
        survey_space(problem(size_bytes=1024), 0)


def test_a_budget_that_few_meet_ends() -> None:
    """Hardly anything but the smallest network fits: the asks run out instead of going on for ever."""
    least = problem().costs(problem().smallest()).latency_ms
    tight = problem(least * 1.001)
    config = RunConfig(4.0, trials=2, sampler="random")
    study = open_study("tried", InMemoryStorage(), config, survey_space(tight, 0), {})
    with Worker(study) as worker:
        CandidateLoop(worker, tight, config, 0, worth).run()
    assert len(study.get_trials()) <= 2 * 25
    assert infeasible_count(study) > 40


def test_a_long_study_queues_each_draw_once_and_not_too_many(surveyed: Survey) -> None:
    """One that was killed while it queued them queues the rest."""
    storage, config = InMemoryStorage(), RunConfig(4.0, trials=10_000)
    killed = optuna.create_study(study_name="tried", storage=storage, direction="maximize")
    killed.enqueue_trial(surveyed.feasible[-1].params)
    study = open_study("tried", storage, config, surveyed, {})
    queued = [t.system_attrs["fixed_params"] for t in study.get_trials()]
    assert 1 < len(queued) <= MAX_INITIAL_DRAWS
    assert all(one not in queued[:n] for n, one in enumerate(queued))


@pytest.mark.parametrize("pruner", [name for name in PRUNERS if name != "none"])
def test_every_pruner_stops_the_poor_and_spares_the_best(pruner: str, surveyed: Survey, tmp_path: Path) -> None:
    """Learning curves that saturate at a level drawn for each candidate: poor ones lie below from the start."""

    def learning(genotype: Genotype, trial: Trial) -> float:
        level = random.Random(trial.number).choice([0.2, 0.25, 0.7, 0.75, 0.8])
        for rung in range(1, RUNGS + 1):
            trial.report(level * (1 - 0.5**rung), rung)
            if trial.should_prune() and rung < RUNGS:
                raise optuna.TrialPruned
        return level

    count = 10 if pruner == "curvefitting" else 30  # it takes seconds to assess a curve
    config = RunConfig(4.0, trials=count, strategy="train", pruner=pruner, sampler="random")
    study = searched(config, surveyed, score=learning, listing=tmp_path / "search.jsonl")
    stopped = [t for t in finished(study.get_trials()) if t.state is TrialState.PRUNED]
    assert stopped
    assert max(t.user_attrs["miou"] for t in study.get_trials(states=(TrialState.COMPLETE,))) == 0.8
    states = [json.loads(line)["state"] for line in (tmp_path / "search.jsonl").read_text().splitlines()]
    assert states.count("pruned") == len(stopped)


def test_any_seed_and_any_worker_will_do(surveyed: Survey) -> None:
    assert len(searched(RunConfig(4.0, trials=4), surveyed, seed=10**9).get_trials(states=(TrialState.COMPLETE,))) == 4
    study = open_study("tried", InMemoryStorage(), RunConfig(4.0, trials=4), surveyed, {})
    with Worker(study, index=10**6) as worker:
        CandidateLoop(worker, problem(), RunConfig(4.0, trials=4), 0, worth).run()
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 4


def test_a_study_of_other_settings_is_refused(surveyed: Survey, tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/s.db")
    searched(RunConfig(4.0, trials=4), surveyed, storage=storage)
    with pytest.raises(InputError, match="a study tried with other settings"):
        searched(RunConfig(4.0, trials=5), surveyed, storage=storage)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://somewhere", "give sqlite:///FILE"),
        ("grpc://nowhere", "give grpc://HOST:PORT"),
        ("postgresql://me:secret@127.0.0.1:1/none", r"\*\*\*@127.0.0.1:1/none: cannot be opened"),
        ("sqlite:////nowhere/at/all.db", "cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line_without_password(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in redacted(url)


def test_listing_and_study_agree(surveyed: Survey, tmp_path: Path) -> None:
    study = searched(RunConfig(4.0, trials=6), surveyed)
    write_listing(study, tmp_path / "search.jsonl", 4.0)
    lines = [json.loads(line) for line in (tmp_path / "search.jsonl").read_text().splitlines()]
    for line in lines:
        found = problem().costs(Genotype.from_dict(line["genotype"]))
        predicted = (line[f"predicted_{name}"] for name in ("latency_ms", "size_bytes", "arena_bytes"))
        assert Costs(*predicted) == found
    assert sum(line["state"] == "complete" for line in lines) == 6


@pytest.mark.parametrize("worthless", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_stops_the_search_at_once(
    worthless: float, surveyed: Survey, tmp_path: Path
) -> None:
    """As of a validation split that is void throughout. Before, 994 candidates were scored in place of 40."""
    asked: list[int] = []

    def score(genotype: Genotype, trial: Trial) -> float:
        asked.append(trial.number)
        return worthless if len(asked) == 3 else worth(genotype)

    storage = InMemoryStorage()
    with pytest.raises(InputError, match=r"candidate 2 \(\w+\) scores mIoU (nan|inf).*compress.check") as stopped:
        searched(RunConfig(4.0, trials=40), surveyed, storage=storage, score=score, listing=tmp_path / "search.jsonl")
    assert asked == [0, 1, 2]
    assert len(str(stopped.value).splitlines()) == 1
    study = optuna.load_study(study_name="tried", storage=storage)
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 2


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_where_only_the_smallest_network_is_feasible_it_is_tried_first(sampler: str) -> None:
    """And the search ends soon: the sampler and random draws find nothing else."""
    least = problem().costs(problem().smallest()).latency_ms
    tight = problem(least * 1.0001)
    config = RunConfig(4.0, trials=40, sampler=sampler)
    study = open_study("tried", InMemoryStorage(), config, survey_space(tight, 0), {})
    with Worker(study) as worker:
        CandidateLoop(worker, tight, config, 0, worth).run()
    trials = study.get_trials()
    assert json.loads(trials[0].user_attrs["genotype"]) == problem().smallest().to_dict()
    assert trials[0].state is TrialState.COMPLETE
    assert [one.genotype for one in best_candidates(study)] == [problem().smallest()]
    assert infeasible_count(study) == len(trials) - 1 <= MAX_HOPELESS


def test_ordinary_searches_start_from_random_draws_alone(surveyed: Survey) -> None:
    """So that the same seed and table give the candidates that they gave before the smallest was tried at all."""
    assert surveyed.smallest.params not in initial_draws(surveyed, 16)
