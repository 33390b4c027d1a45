"""python benchmarks/study_scale.py [--part PART ...] [--storage URL ...]: studies of several workers, and long ones.

Candidates are priced by MACs and scored by a formula after a pause, so that what is timed is the study itself.
Prints the tables of benchmarks/study_scale.md.
"""

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import optuna
import sqlalchemy
from baseline import machine
from optuna.trial import Trial, TrialState
from studies import INITDB, MACS_TABLE, postgres

from compress.stages.config import RunConfig
from nas.candidate_loop import CandidateLoop
from nas.constraints import Constraints
from nas.feasibility import survey_space
from nas.heartbeat import Worker
from nas.problem import Problem
from nas.storages import open_storage
from nas.study import finished, open_study
from search_spaces import costs, get_space
from search_spaces.genotype import Genotype

CANDIDATES, SCORE_SECONDS = 60, 0.5
LONG, ASKED_AT_THE_END = 10_000, 20


def problem() -> Problem:
    return Problem(get_space("deeplabv3plus"), MACS_TABLE, 8, (256, 256), Constraints(40.0))


def formula(genotype: Genotype) -> float:
    return float(costs.params(get_space(genotype.space).graph(genotype)) ** 0.2 / 40)


def paused(genotype: Genotype, trial: Trial) -> float:
    time.sleep(SCORE_SECONDS)
    return formula(genotype)


def work(url: str, name: str, index: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    with Worker(study, index) as worker:
        CandidateLoop(worker, problem(), RunConfig(4.0, trials=CANDIDATES), 0, paused).run()


def shared(url: str, workers: int) -> str:
    name = f"shared-{workers}-{time.time_ns()}"
    study = open_study(name, open_storage(url), RunConfig(4.0, trials=CANDIDATES), survey_space(problem(), 0), {})
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


def copy_rows(url: str, name: str, copies: int) -> None:
    """Appends copies of all trials of a study, row by row: adding a trial by Optuna takes 40 to 50 ms on
    SQLite and 60 to 75 ms on PostgreSQL, for 10,000 some twenty minutes."""
    engine, tables = sqlalchemy.create_engine(url), sqlalchemy.MetaData()
    tables.reflect(engine)
    studies, trials = tables.tables["studies"], tables.tables["trials"]
    with engine.begin() as connection:
        of_study = sqlalchemy.select(studies.c.study_id).where(studies.c.study_name == name).scalar_subquery()
        chosen = sqlalchemy.select(trials).where(trials.c.study_id == of_study).order_by(trials.c.number)
        rows = [dict(row) for row in connection.execute(chosen).mappings()]
        ids = [row.pop("trial_id") for row in rows]
        longer = [{**row, "number": i * len(rows) + row["number"]} for i in range(1, copies + 1) for row in rows]
        connection.execute(trials.insert(), longer)
        all_ids = [row["trial_id"] for row in connection.execute(chosen).mappings()]
        copied = {one: all_ids[n + len(ids) :: len(ids)] for n, one in enumerate(ids)}
        for part in ("trial_params", "trial_values", "trial_user_attributes", "trial_system_attributes"):
            table = tables.tables[part]
            [key] = table.primary_key.columns.keys()
            held = connection.execute(sqlalchemy.select(table).where(table.c.trial_id.in_(ids))).mappings()
            rest = [{column: value for column, value in row.items() if column != key} for row in held]
            connection.execute(
                table.insert(), [{**row, "trial_id": other} for row in rest for other in copied[row["trial_id"]]]
            )


def long(url: str) -> str:
    """ms of an ask with its suggestions, and of the rest of a candidate, at the end of a long study."""
    name = f"long-{time.time_ns()}"
    storage, config = open_storage(url), RunConfig(4.0, trials=LONG)
    drawn = survey_space(problem(), 0)
    study = open_study(name, storage, RunConfig(4.0, trials=1), drawn, {})  # too few to queue random draws
    small = open_study("template", optuna.storages.InMemoryStorage(), RunConfig(4.0, trials=50), drawn, {})
    with Worker(small) as worker:
        CandidateLoop(worker, problem(), RunConfig(4.0, trials=50), 0, lambda genotype, trial: formula(genotype)).run()
    template = [t for t in small.get_trials() if t.state is TrialState.COMPLETE]
    study.add_trials(template)
    copies = LONG // len(template) - 1
    if url.startswith("journal"):
        study.add_trials(template * copies)
    else:
        copy_rows(url, name, copies)
    asks, rests = 0.0, 0.0
    with Worker(study) as worker:
        searching = CandidateLoop(worker, problem(), config, 0, lambda genotype, trial: formula(genotype))
        for _ in range(ASKED_AT_THE_END):
            begun = time.perf_counter()
            trial = searching.propose(study.get_trials(deepcopy=False))
            problem().genotype(trial)
            asks += time.perf_counter() - begun
            begun = time.perf_counter()
            searching.evaluate(trial)
            rests += time.perf_counter() - begun
    return f"{asks / ASKED_AT_THE_END * 1e3:.0f} | {rests / ASKED_AT_THE_END * 1e3:.0f}"


def killed(url: str) -> str:
    """A worker is killed in the middle of a candidate; two others finish the study."""
    name = f"killed-{time.time_ns()}"
    study = open_study(name, open_storage(url), RunConfig(4.0, trials=CANDIDATES), survey_space(problem(), 0), {})
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


TABLES: dict[str, tuple[str, tuple[str, ...], Callable[[str], Iterable[str]]]] = {
    "shared": (
        f"{CANDIDATES} candidates of {SCORE_SECONDS} s each",
        ("workers", "seconds", "finished", "numbers unique"),
        lambda url: (f"{workers} | {shared(url, workers)}" for workers in (1, 2, 4)),
    ),
    "killed": (
        "A worker killed in the middle of a candidate, two others going on",
        ("finished", "tried again", "left running"),
        lambda url: [killed(url)],
    ),
    "long": (
        f"At the end of {LONG:,} candidates",
        ("ask, ms", "score and tell, ms"),
        lambda url: [long(url)],
    ),
}
PARTS = tuple(TABLES)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--storage", nargs="*", help="default: SQLite, a journal file and a PostgreSQL of its own")
    flags.add_argument("--part", nargs="*", choices=PARTS, default=PARTS)
    given = flags.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = given.storage or [f"sqlite:///{folder}/study.db", f"journal:{folder}/study.log"]
        if INITDB and not given.storage:
            urls.append(stack.enter_context(postgres()))
        print(machine())
        for part in given.part:
            heading, columns, figures = TABLES[part]
            print(f"\n{heading}:\n\n| storage | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
            for url in urls:
                for row in figures(url):
                    print(f"| {url.partition(':')[0]} | {row} |", flush=True)


if __name__ == "__main__":
    main()
