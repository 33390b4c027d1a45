"""Where latency is measured. One target for now: the LiteRT interpreter (XNNPACK) on this machine."""

import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from collections.abc import Iterator
import os
import statistics

from ai_edge_litert.interpreter import Interpreter

from search_spaces.errors import InputError

WARM_UP, LEAST_RUNS, MOST_RUNS = 3, 12, 400


@dataclass(frozen=True)
class Latency:
    """Of one model: median ms, the 10th and 90th percentile, how many runs they stand on."""

    ms: float
    p10_ms: float
    p90_ms: float
    runs: int


@dataclass(frozen=True)
class HostTarget:
    """The LiteRT interpreter with XNNPACK on this machine; `threads` is its own number of threads."""

    threads: int = 1
    name: str = "host"

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= (os.cpu_count() or 1):
            raise InputError(f"--threads {self.threads}: this machine has 1 to {os.cpu_count()}")

    def describe(self) -> dict[str, object]:
        return {**asdict(self), "runtime": runtime()}

    def measure(self, models: Sequence[bytes], seconds: float = 0.5) -> list[Latency]:
        """Times each model for about `seconds`, in turns, so that a slow moment of the machine hits all alike."""
        with pinned(self.threads):
            interpreters = [load(model, self.threads) for model in models]
            for interpreter in interpreters:
                for _ in range(WARM_UP):
                    interpreter.invoke()
            times: list[list[float]] = [[] for _ in models]
            rounds = 4
            for turn in range(1, rounds + 1):
                for interpreter, taken in zip(interpreters, times, strict=True):
                    interpreter.invoke()  # the other models pushed this one out of the caches
                    _run(interpreter, taken, seconds / rounds, LEAST_RUNS * turn // rounds)
        return [summarize(taken) for taken in times]


def _run(interpreter: Interpreter, taken: list[float], seconds: float, least: int) -> None:
    deadline = time.perf_counter() + seconds
    while len(taken) < least or (time.perf_counter() < deadline and len(taken) < MOST_RUNS):
        begun = time.perf_counter()
        interpreter.invoke()
        taken.append(time.perf_counter() - begun)


def summarize(seconds: Sequence[float]) -> Latency:
    deciles = statistics.quantiles(seconds, n=10)
    median = statistics.median(seconds)
    return Latency(median * 1e3, deciles[0] * 1e3, deciles[-1] * 1e3, len(seconds))


def load(model: bytes, threads: int) -> Interpreter:
    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keeps the process on as many cores as the runtime has threads, where the system allows it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, set(sorted(allowed)[-threads:]))
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def runtime() -> str:
    return f"litert {version('ai-edge-litert')} xnnpack"
