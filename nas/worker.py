"""python -m nas.worker RUN [--storage URL]: scores candidates of a run's search beside the process that started it.

`python -m nas.search` starts these itself (`--workers`), and works as one where another process has the run
already. The run folder must be there: on a disk that the machines share, or copied.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import randbelow

import optuna
import torch
from optuna.storages import BaseStorage

from compress.stages.cli import parser, run_command
from compress.stages.run import Run, open_run
from compress.training.device import share_cores
from nas.heartbeat import Worker
from nas.problem import problem_of
from nas.storage import open_storage
from nas.strategy import open_strategy, supernet_file
from nas.study import Searching
from search_spaces.errors import InputError

STORAGE = "SLIMLAB_STORAGE"  # a URL may hold a password, and command lines can be read by everybody
POLL_SECONDS = 1.0


def storage_url(given: str | None, path: Path) -> str:
    """As the user gave it, in the environment's variable, else SQLite in the run folder."""
    return given or os.environ.get(STORAGE) or f"sqlite:///{path / 'study.db'}"


@dataclass(frozen=True)
class Wanted:
    """Whether a worker goes on: not when the process that started it (`parent`) is gone, or the search is over."""

    run: Run
    parent: int | None

    def __call__(self) -> bool:
        orphaned = self.parent is not None and os.getppid() != self.parent
        return not orphaned and not (self.run.path / "genotype.json").exists()


def wait_for_study(run: Run, storage: BaseStorage, wanted: Callable[[], bool]) -> bool:
    """Until another process has made all that a worker needs; False when it is not wanted any more."""
    said = False
    while wanted():
        names = optuna.get_all_study_names(storage)
        if run.path.name in names and (run.config.strategy == "train" or supernet_file(run).exists()):
            return True
        if not said:
            print(f"waiting for the process that started {run.path} to train its supernet", flush=True)
            said = True
        time.sleep(POLL_SECONDS)
    return False


def join(
    path: Path, storage: BaseStorage, index: int | None = None, parent: int | None = None, workers: int = 1
) -> None:
    """Works on a run's search until it has all its candidates. Raises InputError when it is over already."""
    run = open_run(path)
    share_cores(workers)
    wanted = Wanted(run, parent)
    if not wanted():
        raise InputError(f"{path}: its search is over; wait for the process that goes on with it")
    if not wait_for_study(run, storage, wanted):
        return
    if index is not None and torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=path.name, storage=storage)
    strategy = open_strategy(run, run.config.strategy, workers)
    # several machines draw from seeds far apart
    place = 1 + randbelow(10**6) if index is None else index
    with Worker(study, place) as worker:
        Searching(worker, problem_of(run), run.config, run.config.seed, strategy.score).run(wanted)


def main() -> None:
    arguments = parser(__doc__, "nas.worker")
    arguments.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/landcover-30ms")
    arguments.add_argument("--storage", help="where its study lives (default: $SLIMLAB_STORAGE, else RUN/study.db)")
    arguments.add_argument("--index", type=int, help="number of this worker on its machine")
    arguments.add_argument("--workers", type=int, default=1, help="workers that share this machine's cores")
    arguments.add_argument("--parent", type=int, help="end when this process, which started the worker, does")
    given = arguments.parse_args()
    if not given.run.is_dir():
        raise InputError(f"{given.run}: there is no such run folder; copy it here or mount the disk it is on")
    storage = open_storage(storage_url(given.storage, given.run))
    join(given.run, storage, given.index, given.parent, given.workers)


if __name__ == "__main__":
    run_command(main)
