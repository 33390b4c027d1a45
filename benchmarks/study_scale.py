"""python benchmarks/study_scale.py [--storage URL ...]: studies with several workers, and studies that have grown long.

Candidates are priced by MACs and scored by a formula after a pause, so that what is timed is the study itself.
Prints the tables of benchmarks/study_scale.md.
"""

import argparse
import multiprocessing
import tempfile
import time
from dataclasses import dataclass

import optuna
from optuna.trial import Trial, TrialState

from compress.timing import processor_name
from nas.feasible import survey
from nas.presence import Worker
from nas.problem import Limits, Problem
from nas.search_settings import SearchSettings
from nas.storage import open_storage
from nas.study import Searching, finished, open_study
from search_spaces import costs, get_space
from search_spaces.genotype import Genotype
from search_spaces.latency_table import GROUPS, LatencyTable
from search_spaces.ops import Op

CANDIDATES, SCORE_SECONDS = 60, 0.5
LONG, ASKED_AT_THE_END = 10_000, 20


@dataclass(frozen=True)
class MacsTable(LatencyTable):
    """Ten million MACs take a millisecond."""

    def op_ms(self, op: Op) -> float:
        return costs.op_macs(op) / 1e7


def problem() -> Problem:
    table = MacsTable({}, {}, {**dict.fromkeys(GROUPS, 1.0), "intercept": 0.0}, {}, {})
    return Problem(get_space("deeplabv3plus"), table, 8, (256, 256), Limits(40.0))


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


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--storage", nargs="*", help="default: SQLite and a journal file in a temporary folder")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        urls = given.storage or [f"sqlite:///{folder}/study.db", f"journal:{folder}/study.log"]
        print(f"{processor_name()}, {multiprocessing.cpu_count()} cores, {time.strftime('%Y-%m-%d')}\n")
        print(f"{CANDIDATES} candidates of {SCORE_SECONDS} s each:\n")
        print("| storage | workers | seconds | finished | numbers unique |\n|---|---|---|---|---|")
        for url in urls:
            for workers in (1, 2, 4):
                print(f"| {url.partition(':')[0]} | {workers} | {shared(url, workers)} |", flush=True)
        print(f"\nAt the end of {LONG:,} candidates:\n\n| storage | ask, ms | score and tell, ms |\n|---|---|---|")
        for url in urls:
            print(f"| {url.partition(':')[0]} | {long(url)} |", flush=True)


if __name__ == "__main__":
    main()
