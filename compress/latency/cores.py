"""Which cores of a device a model is timed on.

A phone has cores of two or three speeds, and some laptops and boards have too. The numbers of the cores do not tell
which are fast. Linux tells the highest frequency of each core. On ARM it also tells the capacity: how much the core
gets done at that frequency, compared with the others.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.errors import InputError

BIG, SMALL = "big", "small"
CORES_FORMS = f"{BIG}, {SMALL} or numbers such as 4-7 or 0,2"
Described = Sequence[Sequence[int]]  # of each core: number, capacity, highest frequency in kHz, hardware thread


@dataclass(frozen=True)
class Core:
    """A core on which models may run.

    Attributes:
        number: Linux's number of the core.
        capacity: Its speed compared with the other cores; 0 where it is not known.
        max_khz: Its highest frequency in kHz; 0 where it is not known.
        thread: Of the hardware threads of one physical core, 0 for the first.
    """

    number: int
    capacity: int
    max_khz: int
    thread: int

    @property
    def speed(self) -> tuple[int, int]:
        """A faster core has a larger value."""
        return self.capacity, self.max_khz


def check_cores(wanted: str) -> None:
    """Refuses a `--cores` that has none of the forms.

    Args:
        wanted: The value of `--cores`.

    Raises:
        InputError: The text has none of the forms.
    """
    if wanted not in (BIG, SMALL):
        _numbers(wanted)


def _numbers(wanted: str) -> set[int]:
    """The numbers in a list such as 0,2-3."""
    found: set[int] = set()
    for part in wanted.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part, re.ASCII)
        if not match or int(match[1]) > int(match[2] or match[1]):
            raise InputError(f"--cores {wanted}: give {CORES_FORMS}")
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def choose_cores(described: Described, wanted: str, threads: int, where: str) -> tuple[Core, ...]:
    """Chooses the cores that a model is timed on.

    Args:
        described: The cores of the device that may be used (`compress.latency.device_facts.described_cores`).
        wanted: The value of `--cores`.
        threads: Threads of the runtime. Each gets a core of its own.
        where: The device, for the error.

    Returns:
        As many cores as there are threads, in the order of their numbers. Among those that are wanted the fastest are
        taken, and of equally fast ones those with the highest numbers.

    Raises:
        InputError: The device has not so many cores, or lacks one that is named.
    """
    cores = [Core(*values) for values in described]
    if threads > len(cores):
        raise InputError(f"--threads {threads}: {where} has {len(cores)}")
    if wanted == SMALL:
        slowest = min(core.speed for core in cores)
        cores = [core for core in cores if core.speed == slowest]
    elif wanted != BIG:
        numbers = _numbers(wanted)
        if missing := numbers - {core.number for core in cores}:
            has = ", ".join(str(core.number) for core in cores)
            raise InputError(f"--cores {wanted}: {where} has no core {min(missing)} to use; it has {has}")
        cores = [core for core in cores if core.number in numbers]
    if threads > len(cores):
        raise InputError(f"--threads {threads}: --cores {wanted} names {len(cores)} of {where}")
    # a second hardware thread shares a core with the first: it is the last choice
    ascending = sorted(cores, key=lambda core: (-core.thread, core.speed, core.number))
    return tuple(sorted(ascending[-threads:], key=lambda core: core.number))


def format_cores(cores: Sequence[Core]) -> str:
    """Names the cores that models are timed on.

    Args:
        cores: The cores.

    Returns:
        Such as `6, 7 (2400 MHz)`.
    """
    speeds = sorted({core.max_khz // 1000 for core in cores if core.max_khz})
    numbers = ", ".join(str(core.number) for core in cores)
    return numbers + (f" ({' and '.join(map(str, speeds))} MHz)" if speeds else "")
