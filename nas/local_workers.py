"""Starts the processes of this machine that score candidates beside the one that leads the search."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compress.stages.run import SEARCH
from nas.storage_url import STORAGE_VARIABLE

PATIENCE_S = 10  # how long a worker may take to end when the search is interrupted


@contextmanager
def local_workers(path: Path, url: str, workers: int) -> Iterator[None]:
    """Starts all workers but this one and waits for them. They print to RUN/search/worker-N.log.

    When the search is interrupted, they are ended before the error goes on, so that none is left behind.

    Args:
        path: The run folder.
        url: Where the study lives. It goes by the environment, because command lines can be read by everybody.
        workers: Processes of this machine that score candidates, this one included.

    Yields:
        Nothing; the workers run inside.
    """
    environment = {**os.environ, STORAGE_VARIABLE: url}
    command = [sys.executable, "-m", "nas.worker", str(path), f"--workers={workers}", f"--parent={os.getpid()}"]
    folder = path / SEARCH
    folder.mkdir(exist_ok=True)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for index in range(1, workers):
            with (folder / f"worker-{index}.log").open("ab") as log:
                worker = subprocess.Popen([*command, f"--index={index}"], stdout=log, stderr=log, env=environment)
            started.append(worker)
        yield
        for worker in started:
            worker.wait()
    except BaseException:
        end(started)
        raise


def end(processes: list["subprocess.Popen[bytes]"]) -> None:
    """Ends processes and waits until they are gone.

    Args:
        processes: The processes; those that have ended are left alone.
    """
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
