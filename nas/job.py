"""The job of `nas.search`: leads the search of a run, or joins the search that another process leads."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compress.files.atomic import try_lock
from compress.stages.config import RunConfig
from compress.stages.config_file import CONFIG_FILE, check_same
from compress.stages.run import Run
from compress.training import distributed
from compress.training.device import share_cores
from nas.feasibility import survey_space
from nas.joining import START_POLL_SECONDS, join
from nas.pipeline import run_pipeline
from nas.preparation import prepare
from nas.problem import problem_of
from nas.storages import open_storage
from nas.strategy import train_supernet
from nas.winner import search
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Job:
    """What one `nas.search` does.

    Attributes:
        config: The run's settings.
        path: The run folder.
        url: Where the study lives, with its password.
        workers: Processes of this machine that score candidates.
        table: The latency table's file; None for the one under runs/latency.
        resume: Whether a run that is there goes on.
        search_only: Whether the job ends when the winner is chosen.
    """

    config: RunConfig
    path: Path
    url: str
    workers: int = 1
    table: Path | None = None
    resume: bool = False
    search_only: bool = False

    def start(self, open_first: bool = False) -> None:
        """Does the job.

        Args:
            open_first: Whether the storage is opened before anything else, to refuse a wrong one at once.
        """
        share_cores()
        if open_first:
            open_storage(self.url)
        with alone(self.path) as first:
            if first:
                self.lead()
                return
        print(f"another process has {self.path}: joining its search")
        await_folder(self.path)
        check_same(self.config, self.path)
        join(self.path, self.url, workers=self.workers)

    def lead(self) -> None:
        """Searches and compresses. Under torchrun the other ranks help to train the supernet, and then end."""
        run, winner = Run(self.path, self.config), self.path / "genotype.json"
        with distributed.process_group():
            found = None
            if distributed.rank() == 0:
                found = prepare(run, self.resume, self.table)
                if found:
                    print(found)
            chosen = distributed.broadcast(winner.exists())  # from here on the run folder is there
            if not chosen:
                found = found or survey_space(problem_of(run), self.config.seed)
                if self.config.shares_weights:
                    train_supernet(run, found, problem_of(run).smallest())
        if distributed.rank() > 0:
            return
        if found and not chosen:
            search(run, found, self.url, self.workers)
        if self.search_only:
            print(f"winner: {run.genotype}\n  {winner}")
            return
        run_pipeline(run)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this is the first process at work on a run folder. The other ranks of torchrun go with theirs.

    Args:
        path: The run folder.

    Yields:
        Whether it is; the folder is this process's inside.
    """
    if distributed.rank() > 0:
        yield True
        return
    with try_lock(path.with_name(f".{path.name}.lock")) as first:
        yield first


def await_folder(path: Path) -> None:
    """Waits until the first process has checked the data and made the run folder.

    Args:
        path: The run folder.

    Raises:
        InputError: The first process ended before that.
    """
    while not (path / CONFIG_FILE).exists():
        with alone(path) as first:
            if first and not (path / CONFIG_FILE).exists():
                raise InputError(f"{path}: the process that had it ended before the search; give the command again")
        time.sleep(START_POLL_SECONDS)
