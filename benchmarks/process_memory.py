"""Runs a command and measures the memory of it and of all processes that it starts."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Ran:
    """What a command took.

    Attributes:
        seconds: From its start to its end.
        peak: The most memory that it and its children took at a time, in bytes. Memory that processes share counts
            once (the sum of the proportional set sizes, Pss).
        largest: The most memory of the command's own process as the kernel knows it, in bytes (the maximum RSS).
        out: What it printed to stdout.
    """

    seconds: float
    peak: int
    largest: int
    out: str


def run_measured(command: Sequence[str], folder: Path) -> Ran:
    """Runs a command.

    Args:
        command: Its words.
        folder: Where it runs.

    Returns:
        What it took.
    """
    begun = time.perf_counter()
    peak, largest = 0, 0
    out_file = folder / ".stdout"
    with out_file.open("w+") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
        while process.poll() is None:
            peak = max(peak, sum(pss(pid) for pid in family(process.pid)))
            largest = max(largest, largest_rss(process.pid))
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - begun
        out.seek(0)
        printed = out.read()
    out_file.unlink()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Ran(seconds, peak, largest, printed)


def family(pid: int) -> list[int]:
    """A process and its descendants.

    Args:
        pid: The process.

    Returns:
        Their numbers.
    """
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            found += family(int(child))
    return found


def pss(pid: int) -> int:
    """The memory of a process.

    Args:
        pid: The process.

    Returns:
        Bytes, each shared page by its part; 0 for a process that has ended.
    """
    return _kibibytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def largest_rss(pid: int) -> int:
    """The most memory that a process has had.

    Args:
        pid: The process.

    Returns:
        Bytes; 0 for a process that has ended.
    """
    return _kibibytes(Path(f"/proc/{pid}/status"), "VmHWM:")


def _kibibytes(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name)), 0)
