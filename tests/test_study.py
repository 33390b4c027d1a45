"""The study: every sampler, storage and pruner, several workers, what happens when one dies."""

import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import CLASSES
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import Trial, TrialState
from studies import INITDB, MACS_TABLE, free_port, postgres

from nas import presence
from nas.feasible import Survey, feasible, survey
from nas.presence import Worker
from nas.problem import Costs, Limits, Problem
from nas.pruners import PRUNERS, RUNGS
from nas.samplers import SAMPLERS
from nas.search_settings import SearchSettings
from nas.storage import open_storage, shown
from nas.study import Searching, candidates, finished, open_study, refused, write_listing
from search_spaces import costs, get_space
from search_spaces.errors import BudgetError, InputError
from search_spaces.genotype import Genotype


def problem(budget_ms: float = 4.0, **limits: float) -> Problem:
    return Problem(get_space("deeplabv3plus"), MACS_TABLE, CLASSES, (128, 128), Limits(budget_ms, **limits))


def worth(genotype: Genotype, trial: Trial | None = None) -> float:
    """A figure that a search can climb: capacity, discounted."""
    return costs.params(get_space(genotype.space).graph(genotype)) ** 0.2 / 40


@pytest.fixture(scope="module")
def surveyed() -> Survey:
    return survey(problem(), 0)


def searched(
    asked: SearchSettings, surveyed: Survey, seed: int = 0, storage: BaseStorage | None = None, **more: Any
) -> optuna.Study:
    """In memory unless told otherwise."""
    study = open_study("tried", storage or InMemoryStorage(), asked, surveyed, {**asked.to_dict(), "seed": seed})
    with Worker(study) as worker:
        Searching(worker, problem(), asked, seed, more.pop("score", worth), **more).run()
    return study


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_searches_within_the_budget(sampler: str, surveyed: Survey) -> None:
    count = 6 if sampler == "gp" else 24  # a Gaussian process takes seconds for each
    asked = SearchSettings(count, sampler=sampler)
    study = searched(asked, surveyed)
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == count
    assert all(t.user_attrs["predicted_latency_ms"] <= 4.0 for t in done)
    assert len({t.user_attrs["genotype"] for t in done}) > count / 2
    again = searched(asked, surveyed)
    assert [t.params for t in study.get_trials()] == [t.params for t in again.get_trials()]


def test_the_default_sampler_beats_chance(surveyed: Survey) -> None:
    def best(name: str) -> float:
        found = [searched(SearchSettings(40, sampler=name), surveyed, seed).best_value for seed in range(3)]
        return sum(found) / len(found)

    assert best("tpe") > best("random")


def test_evolution_mutates_one_choice_of_a_good_candidate(surveyed: Survey) -> None:
    trials = searched(SearchSettings(30, sampler="evolution"), surveyed).get_trials()
    bred = [t for t in trials if "fixed_params" not in t.system_attrs]
    assert len(bred) >= 12
    for child in bred:
        parents = [t for t in trials[: child.number] if t.state is TrialState.COMPLETE]
        changed = min(sum(child.params.get(n) != v for n, v in parent.params.items()) for parent in parents)
        assert changed <= 1


@pytest.mark.parametrize("pareto", ["latency", "size", "arena"])
def test_pareto_keeps_the_front(pareto: str, surveyed: Survey) -> None:
    study = searched(SearchSettings(20, pareto=pareto), surveyed)
    front = candidates(study)
    assert len(study.directions) == (2 if pareto == "latency" else 3)
    assert all(one.miou >= other.miou for one, other in pairwise(front))
    if pareto == "latency":
        assert all(one.latency_ms > other.latency_ms for one, other in pairwise(front))


def test_bounds_on_memory_are_kept(surveyed: Survey) -> None:
    middle = surveyed.feasible[len(surveyed.feasible) // 2].costs
    bounded = problem(size_bytes=middle.size_bytes, arena_bytes=middle.arena_bytes)
    asked = SearchSettings(8, max_size_kib=middle.size_bytes / 1024, max_arena_kib=middle.arena_bytes / 1024)
    study = open_study("tried", InMemoryStorage(), asked, survey(bounded, 0), {})
    with Worker(study) as worker:
        Searching(worker, bounded, asked, 0, worth).run()
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == 8
    assert all(t.user_attrs["predicted_size_bytes"] <= middle.size_bytes for t in done)
    assert all(t.user_attrs["predicted_arena_bytes"] <= middle.arena_bytes for t in done)


def test_a_bound_nobody_meets_names_the_flag_and_the_smallest() -> None:
    with pytest.raises(BudgetError, match=r"meets --max-size-kib 1: the smallest takes [\d.]+ KiB of file"):
        survey(problem(size_bytes=1024), 0)


def test_a_budget_that_few_meet_ends() -> None:
    """Hardly anything but the smallest network fits: the asks run out instead of going on for ever."""
    least = problem().costs(problem().smallest()).latency_ms
    tight = problem(least * 1.001)
    asked = SearchSettings(2, sampler="random")
    study = open_study("tried", InMemoryStorage(), asked, survey(tight, 0), {})
    with Worker(study) as worker:
        Searching(worker, tight, asked, 0, worth).run()
    assert len(study.get_trials()) <= 2 * 25
    assert refused(study) > 40


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
    asked = SearchSettings(count, strategy="train", pruner=pruner, sampler="random")
    study = searched(asked, surveyed, score=learning, listing=tmp_path / "search.jsonl")
    stopped = [t for t in finished(study.get_trials()) if t.state is TrialState.PRUNED]
    assert stopped
    assert study.best_value == 0.8
    states = [json.loads(line)["state"] for line in (tmp_path / "search.jsonl").read_text().splitlines()]
    assert states.count("pruned") == len(stopped)


def test_any_seed_and_any_worker_will_do(surveyed: Survey) -> None:
    assert len(searched(SearchSettings(4), surveyed, seed=10**9).get_trials(states=(TrialState.COMPLETE,))) == 4
    study = open_study("tried", InMemoryStorage(), SearchSettings(4), surveyed, {})
    with Worker(study, index=10**6) as worker:
        Searching(worker, problem(), SearchSettings(4), 0, worth).run()
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 4


def test_a_study_of_other_settings_is_refused(surveyed: Survey, tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/s.db")
    searched(SearchSettings(4), surveyed, storage=storage)
    with pytest.raises(InputError, match="a study tried with other settings"):
        searched(SearchSettings(5), surveyed, storage=storage)


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
    assert "secret" not in shown(url)


@pytest.fixture
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/study.db"
    elif request.param == "journal":
        yield f"journal:{tmp_path}/study.log"
    elif request.param == "grpc":
        port = free_port()
        command = [sys.executable, "-m", "nas.storage", "serve", f"sqlite:///{tmp_path}/proxied.db", f"--port={port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout and "serving" in server.stdout.readline()
            yield f"grpc://127.0.0.1:{port}"
            server.terminate()
    else:
        if not INITDB:
            pytest.skip("needs postgresql")
        with postgres() as url:
            yield url


def slow(genotype: Genotype, trial: Trial) -> float:
    time.sleep(0.05)
    return worth(genotype)


def stuck(genotype: Genotype, trial: Trial) -> float:
    """Never ends: the process is killed while it scores."""
    time.sleep(600)
    return 0.0


def work(url: str, asked: SearchSettings, index: int, score: Callable[[Genotype, Trial], float]) -> None:
    study = optuna.load_study(study_name="tried", storage=open_storage(url))
    with Worker(study, index) as worker:
        Searching(worker, problem(), asked, 0, score).run()


@pytest.mark.parametrize("storage_url", ["sqlite", "journal", "grpc", "postgresql"], indirect=True)
def test_workers_finish_every_candidate_once_and_retry_that_of_a_dead_one(storage_url: str, surveyed: Survey) -> None:
    asked = SearchSettings(12)
    study = open_study("tried", open_storage(storage_url), asked, surveyed, {})
    context = multiprocessing.get_context("spawn")
    doomed = context.Process(target=work, args=(storage_url, asked, 1, stuck))
    doomed.start()
    while not any("genotype" in t.user_attrs for t in study.get_trials(states=(TrialState.RUNNING,))):
        time.sleep(0.1)
    assert doomed.pid
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.join()
    others = [context.Process(target=work, args=(storage_url, asked, index, slow)) for index in (2, 3)]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
        assert other.exitcode == 0
    trials = study.get_trials()
    assert sorted(t.number for t in trials) == list(range(len(trials)))
    assert len(finished(trials)) == 12
    assert not [t for t in trials if t.state is TrialState.RUNNING]
    (lost,) = [
        t for t in trials if t.state is TrialState.FAIL and t.user_attrs.get("worker", "").find(str(doomed.pid)) > 0
    ]
    (retried,) = [t for t in trials if t.user_attrs.get("retries") == 1]
    assert retried.params == lost.params
    assert retried.state is TrialState.COMPLETE


def test_of_two_that_ask_for_the_last_candidate_the_later_one_gives_way(surveyed: Survey, tmp_path: Path) -> None:
    """Whichever of the two is the first to write its genotype down."""
    url = f"sqlite:///{tmp_path}/s.db"
    study = open_study("tried", open_storage(url), SearchSettings(1), surveyed, {})
    with Worker(study, 1) as quick, Worker(study, 2) as late:
        for params in (feasible(problem(), seed) for seed in (1, 2)):
            assert params
            study.enqueue_trial(params.params)
        first, second = late.take(study.ask()), quick.take(study.ask())
        searching = [Searching(worker, problem(), SearchSettings(1), 0, slow) for worker in (late, quick)]
        with ThreadPoolExecutor() as pool:
            ended = pool.submit(searching[1].evaluate, second)
            time.sleep(0.3)
            searching[0].evaluate(first)
            ended.result(30)
    assert [t.state for t in study.get_trials()[:2]] == [TrialState.COMPLETE, TrialState.FAIL]


@pytest.mark.parametrize("storage_url", ["sqlite", "journal", "grpc"], indirect=True)
def test_a_candidate_that_another_worker_has_ended_stays_as_it_is(storage_url: str, surveyed: Survey) -> None:
    """As when a storage hands it out twice, or a worker that still lives was given up as lost."""
    study = open_study("tried", open_storage(storage_url), SearchSettings(3), surveyed, {})
    with Worker(study, 1) as first, Worker(study, 2) as second:
        for end in (TrialState.COMPLETE, TrialState.FAIL):
            drawn = feasible(problem(), 1)
            assert drawn
            study.enqueue_trial(drawn.params)
            trial = first.take(study.ask())
            while "genotype" in trial.user_attrs:
                trial = first.take(study.ask())

            def overtaken(genotype: Genotype, of: Trial, end: TrialState = end) -> float:
                study.tell(of.number, 0.5 if end is TrialState.COMPLETE else None, state=end)
                return worth(genotype)

            Searching(second, problem(), SearchSettings(3), 0, overtaken).evaluate(Trial(study, trial._trial_id))
            assert study.get_trials()[trial.number].state is end


def test_a_worker_of_another_machine_is_lost_when_its_heart_stops(
    surveyed: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LOST_SECONDS", 0.5)
    monkeypatch.setattr(presence, "BEAT_SECONDS", 0.1)
    study = open_study("tried", open_storage(f"journal:{tmp_path}/s.log"), SearchSettings(4), surveyed, {})
    with Worker(study, name="far-away:1:ab") as remote, Worker(study) as here:
        remote.take(study.ask())
        assert here.retry_lost() == 0
        time.sleep(0.8)
        assert here.retry_lost() == 0  # its heart beats
    with Worker(study) as here:
        assert here.retry_lost() == 0  # nothing is known of it yet
        time.sleep(0.8)
        assert here.retry_lost() == 1
        assert here.retry_lost() == 0


def test_a_candidate_that_takes_workers_down_is_given_up(surveyed: Survey, tmp_path: Path) -> None:
    study = open_study("tried", open_storage(f"sqlite:///{tmp_path}/s.db"), SearchSettings(4), surveyed, {})
    gone = subprocess.Popen(["true"])
    gone.wait()
    with Worker(study) as here:
        for _ in range(10):
            first = study.ask()
            if "retries" not in first.user_attrs and first.number > 0:
                study.tell(first, state=TrialState.FAIL)
                continue
            first.set_user_attr("worker", f"{socket.gethostname()}:{gone.pid}:ab")
            here.retry_lost()
    assert max(t.user_attrs.get("retries", 0) for t in study.get_trials()) == presence.MOST_RETRIES


def test_listing_and_study_agree(surveyed: Survey, tmp_path: Path) -> None:
    study = searched(SearchSettings(6), surveyed)
    write_listing(study, tmp_path / "search.jsonl", 4.0)
    lines = [json.loads(line) for line in (tmp_path / "search.jsonl").read_text().splitlines()]
    for line in lines:
        found = problem().costs(Genotype.from_dict(line["genotype"]))
        predicted = (line[f"predicted_{name}"] for name in ("latency_ms", "size_bytes", "arena_bytes"))
        assert Costs(*predicted) == found
    assert sum(line["state"] == "complete" for line in lines) == 6
