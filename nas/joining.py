"""Works on the search of a run that another process leads."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import randbelow

import optuna
import torch
from optuna.storages import BaseStorage

from compress.stages.run import Run, open_run
from compress.training.device import share_cores
from nas.candidate_loop import CandidateLoop
from nas.heartbeat import Worker
from nas.problem import problem_of
from nas.storages import open_storage, readable
from nas.strategy import open_strategy, supernet_file
from nas.study import IDENTITY, check_identity
from nas.study_identity import identity_of, recorded_name
from search_spaces.errors import InputError

START_POLL_SECONDS = 1.0  # between two looks for what the leading process makes first


def is_needed(run: Run, parent: int | None) -> bool:
    """Decides whether a worker goes on.

    Args:
        run: The run.
        parent: The number of the process that started the worker; None for one that a user started.

    Returns:
        False when that process is gone, or the search is over.
    """
    orphaned = parent is not None and os.getppid() != parent
    return not orphaned and not (run.path / "genotype.json").exists()


def wait_for_study(run: Run, storage: BaseStorage, needed: Callable[[], bool]) -> str | None:
    """Waits until the leading process has made all that a worker needs.

    Args:
        run: The run.
        storage: Where the study lives.
        needed: Asked between two looks.

    Returns:
        The name of the study; None when the worker is not needed any more.
    """
    told = False
    while needed():
        name = recorded_name(run.path)
        trained = not run.config.shares_weights or supernet_file(run).exists()
        made = trained and name in optuna.get_all_study_names(storage)
        if made and IDENTITY in optuna.load_study(study_name=name, storage=storage).user_attrs:
            return name
        if not told:
            print(f"waiting for the process that started {run.path} to prepare its search", flush=True)
            told = True
        time.sleep(START_POLL_SECONDS)
    return None


def join(path: Path, url: str, index: int | None = None, parent: int | None = None, workers: int = 1) -> None:
    """Works on a run's search until it has all its candidates.

    Args:
        path: The run folder.
        url: Where its study lives.
        index: The number of this worker on its machine; None for one that a user started.
        parent: The process with which this worker ends; None for no such process.
        workers: How many workers share the cores of this machine.

    Raises:
        InputError: The search is over already, the study is of other files or settings than the run folder, or the
            storage cannot be read.
    """
    storage = open_storage(url)
    run = open_run(path)
    share_cores(workers)
    needed = partial(is_needed, run, parent)
    if not needed():
        raise InputError(f"{path}: its search is over; wait for the process that goes on with it")
    with readable(url, opening=True):
        name = wait_for_study(run, storage, needed)
    if name is None:
        return
    if index is not None and torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=storage)
    strategy = open_strategy(run, run.config.strategy, workers)
    check_identity(study, identity_of(run, {}, strategy.weights_digest), run.data.has_fingerprint)
    # several machines draw from seeds far apart
    place = 1 + randbelow(10**6) if index is None else index
    with readable(url), Worker(study, place) as worker:
        CandidateLoop(worker, problem_of(run), run.config, run.config.seed, strategy.score).run(needed)
