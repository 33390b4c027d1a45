"""Several workers on one study: who does what, and what happens when one dies."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import Trial, TrialState
from small_studies import problem, worth
from studies import INITDB, free_port, postgres

from compress.stages.config import RunConfig
from nas import heartbeat
from nas.candidate_loop import CandidateLoop
from nas.feasibility import Survey, random_feasible_draw
from nas.heartbeat import Worker
from nas.storages import open_storage
from nas.study import finished, open_study
from nas.worker_name import is_gone, new_worker_name
from search_spaces.genotype import Genotype


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


def work(url: str, config: RunConfig, index: int, score: Callable[[Genotype, Trial], float]) -> None:
    study = optuna.load_study(study_name="tried", storage=open_storage(url))
    with Worker(study, index) as worker:
        CandidateLoop(worker, problem(), config, 0, score).run()


@pytest.mark.parametrize(
    "storage_url",
    ["sqlite", "journal", pytest.param("grpc", marks=pytest.mark.slow), "postgresql"],
    indirect=True,
)
def test_workers_finish_every_candidate_once_and_retry_that_of_a_dead_one(storage_url: str, surveyed: Survey) -> None:
    config = RunConfig(4.0, trials=12)
    study = open_study("tried", open_storage(storage_url), config, surveyed, {})
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nas.candidate_loop", "nas.storages"])  # they are imported once for all processes
    doomed = context.Process(target=work, args=(storage_url, config, 1, stuck))
    doomed.start()
    while not any("genotype" in t.user_attrs for t in study.get_trials(states=(TrialState.RUNNING,))):
        time.sleep(0.1)
    assert doomed.pid
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.join()
    others = [context.Process(target=work, args=(storage_url, config, index, slow)) for index in (2, 3)]
    for other in others:
        other.start()
    for other in others:
        other.join(600)
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


def test_of_two_that_ask_for_the_last_candidate_the_later_one_gives_way(
    surveyed: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two is the first to write its genotype down."""
    url = f"sqlite:///{tmp_path}/s.db"
    study = open_study("tried", open_storage(url), RunConfig(4.0, trials=1), surveyed, {})
    with Worker(study, 1) as quick, Worker(study, 2) as late:
        for params in (random_feasible_draw(problem(), seed) for seed in (1, 2)):
            assert params
            study.enqueue_trial(params.params)
        first, second = late.take(study.ask()), quick.take(study.ask())
        searching = [CandidateLoop(worker, problem(), RunConfig(4.0, trials=1), 0, slow) for worker in (late, quick)]
        waiting = threading.Event()
        monkeypatch.setattr(quick, "retry_lost", waiting.set)  # called while it waits for the other's genotype
        with ThreadPoolExecutor() as pool:
            ended = pool.submit(searching[1].evaluate, second)
            assert waiting.wait(120)
            searching[0].evaluate(first)
            ended.result(120)
    assert [t.state for t in study.get_trials()[:2]] == [TrialState.COMPLETE, TrialState.FAIL]


@pytest.mark.parametrize("storage_url", ["sqlite", "journal", "grpc"], indirect=True)
def test_a_candidate_that_another_worker_has_ended_stays_as_it_is(storage_url: str, surveyed: Survey) -> None:
    """As when a storage hands it out twice, or a worker that still lives was given up as lost."""
    study = open_study("tried", open_storage(storage_url), RunConfig(4.0, trials=3), surveyed, {})
    with Worker(study, 1) as first, Worker(study, 2) as second:
        for end in (TrialState.COMPLETE, TrialState.FAIL):
            drawn = random_feasible_draw(problem(), 1)
            assert drawn
            study.enqueue_trial(drawn.params)
            trial = first.take(study.ask())
            while "genotype" in trial.user_attrs:
                trial = first.take(study.ask())

            def overtaken(genotype: Genotype, of: Trial, end: TrialState = end) -> float:
                study.tell(of.number, 0.5 if end is TrialState.COMPLETE else None, state=end)
                return worth(genotype)

            CandidateLoop(second, problem(), RunConfig(4.0, trials=3), 0, overtaken).evaluate(
                Trial(study, trial._trial_id)
            )
            assert study.get_trials()[trial.number].state is end


def test_a_worker_of_another_machine_is_lost_when_its_heart_stops(
    surveyed: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    study = open_study("tried", open_storage(f"journal:{tmp_path}/s.log"), RunConfig(4.0, trials=4), surveyed, {})
    seconds = 0.0
    monkeypatch.setattr(heartbeat, "time", SimpleNamespace(monotonic=lambda: seconds))
    here = Worker(study)
    with Worker(study, name="far-away:1:ab") as remote:
        remote.take(study.ask())
        for beats in (1, 4):
            while study.user_attrs.get("alive far-away:1:ab", 0) < beats:
                time.sleep(0.01)
            seconds += 2 * heartbeat.LOST_SECONDS
            assert here.retry_lost() == 0  # its heart has beaten since the last look, or there was none
    here = Worker(study)
    assert here.retry_lost() == 0  # nothing is known of it yet
    seconds += heartbeat.LOST_SECONDS
    assert here.retry_lost() == 0
    seconds += 1
    assert here.retry_lost() == 1
    assert here.retry_lost() == 0


@pytest.mark.parametrize("storage_url", ["sqlite", "journal"], indirect=True)
def test_of_workers_that_find_the_same_lost_candidates_one_gives_each_back(storage_url: str) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    study = optuna.create_study(study_name="tried", storage=open_storage(storage_url))
    owner = {"worker": f"{socket.gethostname()}:{gone.pid}:ab"}
    rounds = 20

    def lose() -> None:
        study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs=owner))

    together = threading.Barrier(2, lose)

    def give_back(index: int) -> int:
        retried = 0
        with Worker(optuna.load_study(study_name="tried", storage=open_storage(storage_url)), index) as worker:
            for _ in range(rounds):
                together.wait()
                retried += worker.retry_lost()
        return retried

    with ThreadPoolExecutor() as pool:
        given_back = sum(pool.map(give_back, (1, 2)))
    assert given_back == rounds == len(study.get_trials(states=(TrialState.WAITING,)))


def test_a_candidate_that_takes_workers_down_is_given_up(surveyed: Survey, tmp_path: Path) -> None:
    study = open_study("tried", open_storage(f"sqlite:///{tmp_path}/s.db"), RunConfig(4.0, trials=4), surveyed, {})
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
    assert max(t.user_attrs.get("retries", 0) for t in study.get_trials()) == heartbeat.MAX_RETRIES


def name_of(process: int, **changed: str) -> str:
    """The name of a worker that was a process of this machine, in another boot or namespace if told so."""
    host, _, token, space = new_worker_name().split(":")
    boot, _, namespace = space.partition("-")
    space = f"{changed.get('boot', boot)}-{changed.get('namespace', namespace)}"
    return f"{changed.get('host', host)}:{process}:{token}:{space}"


def test_only_a_process_that_can_be_looked_up_is_known_to_be_gone() -> None:
    """A container numbers its processes anew, so a number means nothing in another PID namespace; before, a living
    worker of a container was declared dead by one outside it."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert is_gone(name_of(gone.pid))
    assert is_gone(f"{socket.gethostname()}:{gone.pid}:ab")  # as older versions named their workers
    assert is_gone(name_of(os.getpid()))  # an earlier worker of this process
    assert not is_gone(name_of(os.getppid()))
    for elsewhere in ({"namespace": "4026532999"}, {"boot": "01234567"}, {"host": "far-away"}):
        assert not is_gone(name_of(gone.pid, **elsewhere)), elsewhere
        assert not is_gone(name_of(os.getpid(), **elsewhere)), elsewhere
    for strange in ("", "x", "x:y", f"{socket.gethostname()}:", f"{socket.gethostname()}:99999999999999999999:ab:"):
        assert not is_gone(strange), strange


def test_a_worker_of_another_namespace_keeps_its_candidate_while_its_heart_beats(surveyed: Survey) -> None:
    study = open_study("tried", InMemoryStorage(), RunConfig(4.0, trials=4), surveyed, {})
    gone = subprocess.Popen(["true"])
    gone.wait()
    with Worker(study, name=name_of(gone.pid, namespace="4026532999")) as remote, Worker(study) as here:
        remote.take(study.ask())
        assert here.retry_lost() == 0
        assert here.abandoned() == []
