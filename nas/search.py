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

from compress.data.augmentation import AUGMENTS
from compress.data.check import check
from compress.data.dataset import open_data
from compress.data.layouts import LAYOUTS
from compress.files.atomic import RUNS, try_lock, write_atomically
from compress.files.records import read_json, write_json
from compress.files.tensors import save_network
from compress.latency.builder import build
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import LatencyTable
from compress.latency.target_names import TARGET_FORMS
from compress.stages.cli import parser, run_command
from compress.stages.config import PRESETS, Settings, parse_input_size
from compress.stages.environment import environment
from compress.stages.run import SEARCH, Run, open_run
from compress.tflite.writer import INT8
from compress.training import distributed
from compress.training.device import share_cores, training_device
from compress.training.label_losses import CLASS_WEIGHTS, LABEL_TERMS
from compress.training.schedule import LR_SCHEDULES
from nas.feasible import Survey, survey
from nas.finalists import choose
from nas.heartbeat import Worker
from nas.initial_weights import read_initial_weights
from nas.pipeline import run_pipeline
from nas.problem import Problem
from nas.pruners import PRUNERS
from nas.samplers import SAMPLERS
from nas.search_settings import PARETO, STRATEGIES, SearchSettings
from nas.storage import open_storage
from nas.storage_url import STORAGE_FORMS, redacted
from nas.strategy import open_strategy, train_supernet
from nas.study import Searching, candidates, finished, open_study, refused
from nas.worker import POLL_SECONDS, STORAGE, join, problem_of, search_settings, storage_url
from search_spaces import SPACES, get_space
from search_spaces.errors import InputError
from search_spaces.trials import LargestTrial


def search(run: Run, asked: SearchSettings, survey_: Survey, url: str, workers: int) -> None:
    """Writes RUN/genotype.json and the winner's weights; a part that is there already is not done again."""
    begun = time.monotonic()
    strategy = open_strategy(run, asked.strategy, workers)
    described = {**run.settings.to_dict(), **asked.to_dict(), "data": run.data.fingerprint}
    study = open_study(run.path.name, open_storage(url), asked, survey_, described)
    with Worker(study) as worker:
        left = worker.abandoned()
        with helping(run.path, url, workers):
            listing = run.path / "search.jsonl"
            Searching(worker, problem_of(run, asked), asked, run.settings.seed, strategy.score, listing, left).run()
    share_cores()
    found, scored = candidates(study), time.monotonic()
    winner, finalists = choose(run, found, strategy.refine, asked.shares_weights)
    folder = run.path / SEARCH
    write_json(folder / "finalists.json", finalists)
    if asked.pareto:
        front = [{"latency_ms": c.latency_ms, "miou": c.miou, "genotype": c.genotype.to_dict()} for c in found]
        write_json(folder / "pareto.json", front)
    save_network(strategy.network(winner), run.made(SEARCH))
    if asked.shares_weights:  # it may teach the winner: compress.distill --teacher largest
        save_network(strategy.network(problem_of(run, asked).largest()), folder / "teacher.pt")
    trials = study.get_trials(deepcopy=False)
    now = time.monotonic()
    figures = {"trials": len(finished(trials)), "refused": refused(study), "wall_s": now - begun}
    figures |= {"finalists_s": now - scored, "supernet_s": supernet_seconds(run, asked)}
    write_json(folder / "search.json", figures)
    write_json(run.path / "genotype.json", winner.to_dict())


def supernet_seconds(run: Run, asked: SearchSettings) -> float:
    if not asked.shares_weights:
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


def prepare(
    settings: Settings, asked: SearchSettings, place: str, path: Path, resume: bool, table: Path | None
) -> Survey:
    """Checks everything that can be wrong before anything long starts, and makes the run folder."""
    data = open_data(settings.data, settings.seed)
    config = path / "config.json"
    if config.exists():
        if not resume:
            raise InputError(f"{path} holds a run already; add --resume to go on with it, or choose another --run")
        check_same(settings, asked, place, path)
    wanted = TableSpec(get_space(settings.space), len(data.classes), settings.input_size, INT8, settings.open_target())
    if not config.exists():
        if settings.weights:
            largest = wanted.space.sample(LargestTrial(), wanted.classes, wanted.input_size)
            print(read_initial_weights(settings.weights).said(largest))
        check(data)
    loaded = open_table(wanted, path / "table.json" if config.exists() else table)
    limits = asked.limits(settings.budget_ms)
    found = survey(Problem(wanted.space, loaded, wanted.classes, settings.input_size, limits), settings.seed)
    if not config.exists():
        write_atomically(path / "table.json", loaded.to_json().encode())
        made_with = {"fingerprint": data.fingerprint, **environment(training_device())}
        write_json(config, {**settings.to_dict(), "search": asked.to_dict(), "storage": place, **made_with})
    return found


def check_same(settings: Settings, asked: SearchSettings, place: str, path: Path) -> None:
    """Raises InputError that names the flag in which a command differs from the one that made a run folder."""
    run = open_run(path)
    config = read_json(path / "config.json", "choose another --run")
    stored = {**run.settings.to_dict(), **search_settings(run).to_dict(), "storage": config.get("storage", "")}
    for name, value in {**settings.to_dict(), **asked.to_dict(), "storage": place}.items():
        if stored[name] != value:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{path} was started with {flag} {stored[name]}; choose another --run")


def open_table(wanted: TableSpec, path: Path | None) -> LatencyTable:
    """The table at `path`; without one the table under runs/latency, built if there is none."""
    if path is not None:
        return load_table(path, wanted)
    cached = wanted.path(RUNS / "latency")
    return load_table(cached, wanted) if cached.exists() else build(wanted, cached)


def add_flags(flags: Any, budget_ms: float | None = None) -> None:
    """All but `--data`; the budget may have a default."""
    budget = "latency budget in ms on the target"
    flags.add_argument("--budget-ms", type=float, required=budget_ms is None, default=budget_ms, help=budget)
    flags.add_argument("--target", default="host", help=f"where latency counts: {TARGET_FORMS}")
    flags.add_argument("--table", type=Path, help="a latency table (default: built once under runs/latency)")
    flags.add_argument("--threads", type=int, default=1, help="threads of the runtime on the target")
    flags.add_argument("--input-size", default="512", help="512 or HEIGHTxWIDTH")
    flags.add_argument("--space", default="deeplabv3plus", help=", ".join(SPACES))
    flags.add_argument("--preset", default="quick", help=", ".join(PRESETS))
    flags.add_argument("--strategy", default="supernet", help=", ".join(STRATEGIES))
    flags.add_argument("--trials", type=int, help="candidates to score (default: the preset's)")
    flags.add_argument("--sampler", default="tpe", help=", ".join(SAMPLERS))
    flags.add_argument("--pruner", default="none", help=f"with --strategy train: {', '.join(PRUNERS)}")
    objectives = ", ".join(filter(None, PARETO))
    flags.add_argument("--pareto", nargs="?", const="latency", default="", help=f"mIoU against {objectives}")
    flags.add_argument("--max-size-kib", type=float, help="bound on the int8 file's size")
    flags.add_argument("--max-arena-kib", type=float, help="bound on the activations alive at once")
    flags.add_argument("--storage", help=f"where the study lives: {STORAGE_FORMS} (RUN/study.db)")
    flags.add_argument("--workers", type=int, default=1, help="processes of this machine that score candidates")
    flags.add_argument("--run", help="name of the run folder under runs/ (default: DATA-BUDGETms)")
    flags.add_argument("--resume", action="store_true", help="go on with the run where it stopped")
    flags.add_argument("--search-only", action="store_true", help="stop when the winner is chosen")
    flags.add_argument("--seed", type=int, default=0)
    training = flags.add_argument_group("training (docs/training.md)")
    training.add_argument("--loss", default="ce", help=f"{', '.join(LABEL_TERMS)}, added up: ce,dice=0.5 (ce)")
    training.add_argument("--class-weights", default="root", help=f"{', '.join(CLASS_WEIGHTS)} (root)")
    training.add_argument("--schedule", default="one-cycle", help=f"{', '.join(LR_SCHEDULES)} (one-cycle)")
    training.add_argument("--ema", type=float, default=0.0, help="decay of a moving average of the weights (0: none)")
    training.add_argument("--augment", default="photo", help=f"{', '.join(AUGMENTS)} (photo)")
    training.add_argument(
        "--weights", default="", metavar="FILE", help="network.pt, .safetensors or torch file to start from"
    )


def settings_of(given: Mapping[str, Any]) -> tuple[Settings, SearchSettings]:
    """Of the flags by their names. Raises InputError that names the flag."""
    size = {"input_size": parse_input_size(given["input_size"])}
    settings = Settings(**{**{field.name: given[field.name] for field in fields(Settings)}, **size})
    trials = settings.schedules.trials if given["trials"] is None else given["trials"]
    asked = {**{field.name: given[field.name] for field in fields(SearchSettings)}, "trials": trials}
    return settings, SearchSettings(**asked)


def main() -> None:
    flags = parser(__doc__, "nas.search")
    flags.add_argument("--data", default="landcover", help=", ".join(LAYOUTS.values()))
    add_flags(flags)
    start(flags.parse_args())


def start(given: argparse.Namespace) -> None:
    """The whole job, as the flags say."""
    settings, asked = settings_of(vars(given))
    if given.workers < 1:
        raise InputError(f"--workers {given.workers}: give a positive number")
    share_cores()
    path = RUNS / (given.run or f"{given.data.split(':')[0]}-{given.budget_ms:g}ms")
    url = storage_url(given.storage, path)
    if given.storage:
        open_storage(given.storage)  # a wrong one is said at once
    url, place = storage_url(given.storage, path), redacted(given.storage or "")
    with alone(path) as first:
        if first:
            lead(settings, asked, path, url, place, given)
            return
    print(f"another process has {path}: joining its search")
    await_folder(path)
    check_same(settings, asked, place, path)
    join(path, open_storage(url), workers=given.workers)


def lead(
    settings: Settings, asked: SearchSettings, path: Path, url: str, place: str, given: argparse.Namespace
) -> None:
    """What the process does that has a run to itself; under torchrun the other ranks help to train the supernet."""
    with distributed.process_group():
        if distributed.rank() == 0:
            print(prepare(settings, asked, place, path, given.resume, given.table))
        distributed.broadcast(True)  # the run folder is there
        run = Run(path, settings)
        problem, chosen = problem_of(run, asked), path / "genotype.json"
        found = survey(problem, settings.seed)
        if asked.shares_weights and not distributed.broadcast(chosen.exists()):
            train_supernet(run, found, problem.smallest())
    if distributed.rank() > 0:
        return
    if not chosen.exists():
        search(run, asked, found, url, given.workers)
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
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    run_command(main)
