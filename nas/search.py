"""python -m nas.search --budget-ms 30: from a data set and a latency budget to the best int8 TFLite model within it.

Builds or loads the latency table of the target, trains a supernet once, lets Optuna choose among the networks
that the table says are fast enough, measures and refines the best few, and trains, prunes, distills, quantizes,
exports and verifies the winner. Everything lies in runs/NAME; the same command with --resume goes on after a kill, and
while it runs the same command elsewhere joins its search. `torchrun --nproc-per-node N -m -- nas.search ...` trains the
supernet on N processes.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from compress.data.check import check
from compress.data.dataset import open_data
from compress.files.atomic import RUNS, try_lock, write_atomically
from compress.files.records import read_json, write_json
from compress.files.tensors import save_network
from compress.latency.builder import build
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import LatencyTable
from compress.latency.targets import Target, open_target
from compress.stages.cli import parser, run_command
from compress.stages.config import GROUPS, RunConfig
from compress.stages.environment import environment
from compress.stages.flags import add_flags, spelling, values_of
from compress.stages.run import SEARCH, Run, open_run
from compress.tflite.writer import INT8
from compress.training import distributed
from compress.training.device import share_cores, training_device
from nas.candidate_loop import CandidateLoop
from nas.constraints import constraints_of
from nas.feasibility import Survey, infeasible_count, survey_space
from nas.finalists import choose
from nas.heartbeat import Worker
from nas.initial_weights import read_initial_weights
from nas.pipeline import run_pipeline
from nas.problem import Problem, problem_of
from nas.storage import open_storage, readable
from nas.storage_url import STORAGE_FORMS, redacted
from nas.strategy import open_strategy, train_supernet
from nas.study import best_candidates, finished, open_study
from nas.study_identity import identity_of, study_name
from nas.worker import START_POLL_SECONDS, STORAGE, join, storage_url
from search_spaces import get_space
from search_spaces.errors import InputError
from search_spaces.trials import LargestTrial


def search(run: Run, survey_: Survey, url: str, workers: int) -> None:
    """Writes RUN/genotype.json and the winner's weights; a part that is there already is not done again."""
    begun = time.monotonic()
    strategy = open_strategy(run, run.config.strategy, workers)
    storage = open_storage(url)
    with readable(url):
        identity = identity_of(run, run.config.flat(), strategy.weights_digest)
        study = open_study(study_name(run.path, storage), storage, run.config, survey_, identity)
    with readable(url), Worker(study) as worker:
        left = worker.abandoned()
        with helping(run.path, url, workers):
            listing = run.path / "search.jsonl"
            CandidateLoop(worker, problem_of(run), run.config, run.config.seed, strategy.score, listing, left).run()
    share_cores()
    found, scored = best_candidates(study), time.monotonic()
    winner, finalists = choose(run, found, strategy.refine, run.config.shares_weights)
    folder = run.path / SEARCH
    write_json(folder / "finalists.json", finalists)
    if run.config.pareto:
        front = [{"latency_ms": c.latency_ms, "miou": c.miou, "genotype": c.genotype.to_dict()} for c in found]
        write_json(folder / "pareto.json", front)
    save_network(strategy.network(winner), run.made(SEARCH))
    if run.config.shares_weights:  # it may teach the winner: compress.distill --teacher largest
        save_network(strategy.network(problem_of(run).largest()), folder / "teacher.pt")
    trials = study.get_trials(deepcopy=False)
    now = time.monotonic()
    figures = {"trials": len(finished(trials)), "refused": infeasible_count(study), "wall_s": now - begun}
    figures |= {"finalists_s": now - scored, "supernet_s": supernet_seconds(run)}
    write_json(folder / "search.json", figures)
    write_json(run.path / "genotype.json", winner.to_dict())


def supernet_seconds(run: Run) -> float:
    if not run.config.shares_weights:
        return 0.0
    return float(read_json(run.path / SEARCH / "supernet.json", "start the run anew")["seconds"])


@contextmanager
def helping(path: Path, url: str, workers: int) -> Iterator[None]:
    """Starts all workers but this one, as processes that print to RUN/search/worker-N.log, and waits for them."""
    environment_ = {**os.environ, STORAGE: url}
    command = [sys.executable, "-m", "nas.worker", str(path), f"--workers={workers}", f"--parent={os.getpid()}"]
    helpers = []
    (path / SEARCH).mkdir(exist_ok=True)
    for index in range(1, workers):
        with (path / SEARCH / f"worker-{index}.log").open("ab") as log:
            helper = subprocess.Popen([*command, f"--index={index}"], stdout=log, stderr=log, env=environment_)
        helpers.append(helper)
    yield
    for helper in helpers:
        helper.wait()


def prepare(config: RunConfig, path: Path, resume: bool, table: Path | None) -> Survey:
    """Checks everything that can be wrong before anything long starts, and makes the run folder."""
    data = open_data(config.data, config.seed)
    file = path / "config.json"
    if file.exists():
        if not resume:
            raise InputError(f"{path} holds a run already; add --resume to go on with it, or choose another --run")
        check_same(config, path)
    wanted = TableSpec(get_space(config.space), len(data.classes), config.input_size, INT8, target_of(config))
    if not file.exists():
        if config.weights:
            largest = wanted.space.sample(LargestTrial(), wanted.classes, wanted.input_size)
            print(read_initial_weights(config.weights).summary(largest))
        check(data)
    loaded = open_table(wanted, path / "table.json" if file.exists() else table)
    problem = Problem(wanted.space, loaded, wanted.classes, config.input_size, constraints_of(config))
    found = survey_space(problem, config.seed)
    if not file.exists():
        write_atomically(path / "table.json", loaded.to_json().encode())
        made_with = {"fingerprint": data.fingerprint, **environment(training_device())}
        write_json(file, {**config.to_dict(), **made_with})
    return found


def target_of(config: RunConfig) -> Target:
    """The target that a run's latency counts on, before a table says how fast it was."""
    return open_target(config.target, config.threads)


def check_same(config: RunConfig, path: Path) -> None:
    """Raises InputError that names the flag in which a command differs from the one that made a run folder."""
    stored = open_run(path).config
    for field in fields(RunConfig):
        before, now = getattr(stored, field.name), getattr(config, field.name)
        if before != now:
            raise InputError(f"{path} was started with {spelling(field)} {before}; choose another --run")


def open_table(wanted: TableSpec, path: Path | None) -> LatencyTable:
    """The table at `path`; without one the table under runs/latency, built if there is none."""
    if path is not None:
        return load_table(path, wanted)
    cached = wanted.path(RUNS / "latency")
    return load_table(cached, wanted) if cached.exists() else build(wanted, cached)


def add_search_flags(parser: argparse.ArgumentParser, **defaults: object) -> None:
    """Adds the flags of a run and of this command; `defaults` replace those of the run's settings."""
    without = ("data",) if "data" in defaults else ()
    add_flags(parser, RunConfig, defaults=defaults, without=without, groups=GROUPS)
    parser.add_argument("--table", type=Path, help="a latency table (default: built once under runs/latency)")
    parser.add_argument(
        "--storage", help=f"where the study lives: {STORAGE_FORMS} (default: study.db in the run folder)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of this machine that score candidates")
    parser.add_argument("--run", help="name of the run folder under runs/ (default: DATA-BUDGETms)")
    parser.add_argument("--resume", action="store_true", help="go on with the run where it stopped")
    parser.add_argument("--search-only", action="store_true", help="stop when the winner is chosen")


def config_of(given: Mapping[str, Any]) -> RunConfig:
    """Of the flags by their names. Raises InputError that names the flag."""
    return RunConfig(**values_of(RunConfig, given), storage=redacted(given["storage"] or ""))


def main() -> None:
    flags = parser(__doc__, "nas.search")
    add_search_flags(flags)
    start(flags.parse_args())


def start(given: argparse.Namespace) -> None:
    """The whole job, as the flags say."""
    config = config_of(vars(given))
    if given.workers < 1:
        raise InputError(f"--workers {given.workers}: give a positive number")
    share_cores()
    path = RUNS / (given.run or f"{given.data.split(':')[0]}-{given.budget_ms:g}ms")
    url = storage_url(given.storage, path)
    if given.storage:
        open_storage(given.storage)  # a wrong one is said at once
    with alone(path) as first:
        if first:
            lead(config, path, url, given)
            return
    print(f"another process has {path}: joining its search")
    await_folder(path)
    check_same(config, path)
    join(path, url, workers=given.workers)


def lead(config: RunConfig, path: Path, url: str, given: argparse.Namespace) -> None:
    """What the process does that has a run to itself; under torchrun the other ranks help to train the supernet."""
    with distributed.process_group():
        if distributed.rank() == 0:
            print(prepare(config, path, given.resume, given.table))
        distributed.broadcast(True)  # the run folder is there
        run = Run(path, config)
        problem, chosen = problem_of(run), path / "genotype.json"
        found = survey_space(problem, config.seed)
        if config.shares_weights and not distributed.broadcast(chosen.exists()):
            train_supernet(run, found, problem.smallest())
    if distributed.rank() > 0:
        return
    if not chosen.exists():
        search(run, found, url, given.workers)
    if given.search_only:
        print(f"winner: {run.genotype}\n  {chosen}")
        return
    run_pipeline(run)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this is the first process at work on a run folder; the other ranks of torchrun go with theirs."""
    if distributed.rank() > 0:
        yield True
        return
    with try_lock(path.with_name(f".{path.name}.lock")) as first:
        yield first


def await_folder(path: Path) -> None:
    """Until the first process has checked the data and made the run folder. Raises InputError when it ended before."""
    while not (path / "config.json").exists():
        with alone(path) as first:
            if first and not (path / "config.json").exists():
                raise InputError(f"{path}: the process that had it ended before the search; give the command again")
        time.sleep(START_POLL_SECONDS)


if __name__ == "__main__":
    run_command(main)
