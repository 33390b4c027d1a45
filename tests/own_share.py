"""What several pytest processes share, and what each has for itself."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1, ...; empty where there is one process alone


def take_own_cores() -> None:
    """Gives each of several pytest processes cores of its own.

    Threads of two processes on the same cores wait for one another at every step of a training, and the suite then
    takes several times as long.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if not PROCESS or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) >= processes:
        own = cores[int(PROCESS.removeprefix("gw")) % processes :: processes]
        os.sched_setaffinity(0, own)
        torch.set_num_threads(len(own))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first of several pytest processes makes. No test may change what is in it."""
    root = factory.getbasetemp().parent if PROCESS else factory.getbasetemp()
    path, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)  # of a process that failed
            path.mkdir()
            make(path)
            done.touch()
    return path
