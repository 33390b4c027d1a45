"""python benchmarks/study_scale.py [--storage URL ...]: studies with several workers, and studies that have grown long.

Candidates are priced by MACs and scored by a formula after a pause, so that what is timed is the study itself.
Prints the tables of benchmarks/study_scale.md.
"""

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
from contextlib import ExitStack

import optuna
from baseline import machine
from optuna.trial import Trial, TrialState
from studies import INITDB, MACS_TABLE, postgres

from nas.feasible import survey
from nas.presence import Worker
from nas.problem import Limits, Problem
from nas.search_settings import SearchSettings
from nas.storage import open_storage
from nas.study import Searching, finished, open_study
from search_spaces import costs, get_space
from search_spaces.genotype import Genotype

CANDIDATES, SCORE_SECONDS = 60, 0.5
LONG, ASKED_AT_THE_END = 10_000, 20


def problem() -> Problem:
    return Problem(get_space("deeplabv3plus"), MACS_TABLE, 8, (256, 256), Limits(40.0))


def formula(genotype: Genotype) -> float:
    return float(costs.params(get_space(genotype.space).graph(genotype)) ** 0.2 / 40)


def paused(genotype: Genotype, trial: Trial) -> float:
    time.sleep(SCORE_SECONDS)
    return formula(genotype)


def work(url: str, name: str, index: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    with Worker(study, index) as worker:
        Searching(worker, problem(), SearchSettings(CANDIDATES), 0, paused).run()


def shared(url: str, workers: int) -> str:
    name = f"shared-{workers}-{time.time_ns()}"
    study = open_study(name, open_storage(url), SearchSettings(CANDIDATES), survey(problem(), 0), {})
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(url, name, i)) for i in range(workers)]
    for process in processes:
        process.start()
    while not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):  # imports take seconds
        time.sleep(0.02)
    begun = time.monotonic()
    for process in processes:
        process.join()
    trials = study.get_trials(deepcopy=False)
    numbers = len({t.number for t in trials}) == len(trials)
    return f"{time.monotonic() - begun:.1f} | {len(finished(trials))} | {'yes' if numbers else 'no'}"


def long(url: str) -> str:
    """ms of an ask with its suggestions, and of the rest of a candidate, at the end of a long study."""
    name = f"long-{time.time_ns()}"
    storage, asked = open_storage(url), SearchSettings(LONG)
    drawn = survey(problem(), 0)
    study = open_study(name, storage, asked, drawn, {})
    small = open_study("template", optuna.storages.InMemoryStorage(), SearchSettings(50), drawn, {})
    with Worker(small) as worker:
        Searching(worker, problem(), SearchSettings(50), 0, lambda genotype, trial: formula(genotype)).run()
    template = [t for t in small.get_trials() if t.state is TrialState.COMPLETE]
    study.add_trials([template[i % len(template)] for i in range(LONG - ASKED_AT_THE_END)])
    asks, rests = 0.0, 0.0
    with Worker(study) as worker:
        searching = Searching(worker, problem(), asked, 0, lambda genotype, trial: formula(genotype))
        for _ in range(ASKED_AT_THE_END):
            begun = time.perf_counter()
            trial = searching.ask(study.get_trials(deepcopy=False))
            problem().genotype(trial)
            asks += time.perf_counter() - begun
            begun = time.perf_counter()
            searching.evaluate(trial)
            rests += time.perf_counter() - begun
    return f"{asks / ASKED_AT_THE_END * 1e3:.0f} | {rests / ASKED_AT_THE_END * 1e3:.0f}"


def killed(url: str) -> str:
    """A worker is killed in the middle of a candidate; two others finish the study."""
    name = f"killed-{time.time_ns()}"
    study = open_study(name, open_storage(url), SearchSettings(CANDIDATES), survey(problem(), 0), {})
    context = multiprocessing.get_context("spawn")
    doomed, *others = [context.Process(target=work, args=(url, name, i)) for i in range(3)]
    doomed.start()
    while len(finished(study.get_trials(deepcopy=False))) < 2:
        time.sleep(0.02)
    time.sleep(SCORE_SECONDS / 2)  # into a candidate
    os.kill(doomed.pid or 0, signal.SIGKILL)
    doomed.join()
    for process in others:
        process.start()
    for process in others:
        process.join()
    trials = study.get_trials(deepcopy=False)
    retried = [t for t in trials if t.user_attrs.get("retries")]
    return f"{len(finished(trials))} | {len(retried)} | {sum(t.state is TrialState.RUNNING for t in trials)}"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--storage", nargs="*", help="default: SQLite, a journal file and a PostgreSQL of its own")
    given = flags.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = given.storage or [f"sqlite:///{folder}/study.db", f"journal:{folder}/study.log"]
        if INITDB and not given.storage:
            urls.append(stack.enter_context(postgres()))
        print(f"{machine()}\n\n{CANDIDATES} candidates of {SCORE_SECONDS} s each:\n")
        print("| storage | workers | seconds | finished | numbers unique |\n|---|---|---|---|---|")
        for url in urls:
            for workers in (1, 2, 4):
                print(f"| {url.partition(':')[0]} | {workers} | {shared(url, workers)} |", flush=True)
        print("\nA worker killed in the middle of a candidate, two others going on:\n")
        print("| storage | finished | tried again | left running |\n|---|---|---|---|")
        for url in urls:
            print(f"| {url.partition(':')[0]} | {killed(url)} |", flush=True)
        print(f"\nAt the end of {LONG:,} candidates:\n\n| storage | ask, ms | score and tell, ms |\n|---|---|---|")
        for url in urls:
            print(f"| {url.partition(':')[0]} | {long(url)} |", flush=True)


if __name__ == "__main__":
    main()
