"""Where latency is measured. One target for now: the LiteRT interpreter (XNNPACK) on this machine.

Other work on the machine can make everything 1.2 to 2 times slower for milliseconds or for minutes. So a reference
is timed before and after every few runs: a convolution, which waits for arithmetic, and a depthwise convolution,
which waits for memory. Each run counts in units of the reference beside it (the geometric mean of the two); times
the reference's undisturbed time that is a latency in ms. `benchmarks/latency_noise.md` shows what this is worth.
"""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

from ai_edge_litert.interpreter import Interpreter

from compress.skeleton import skeleton
from search_spaces.errors import InputError
from search_spaces.ops import INPUT, Builder

WARM_UP, LEAST_RUNS, ROUNDS = 3, 16, 4
CHUNK_SECONDS = 0.002  # of runs between two looks at the reference
REFERENCE_SHARE = 0.08  # of the time of those runs is spent on each half of the reference, at least two runs


@dataclass(frozen=True)
class Latency:
    """Of one model: median, 10th and 90th percentile in ms, corrected for the machine's momentary speed; the plain
    median `raw_ms`; the median in units of the reference; the number of runs."""

    ms: float
    p10_ms: float
    p90_ms: float
    raw_ms: float
    references: float
    runs: int


@dataclass(frozen=True)
class HostTarget:
    """The LiteRT interpreter with XNNPACK on this machine; `threads` is its own number of threads, `reference_ms`
    the undisturbed time of the reference (default: the fastest tenth seen by this process)."""

    threads: int = 1
    reference_ms: float | None = None
    name: str = "host"

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= (os.cpu_count() or 1):
            raise InputError(f"--threads {self.threads}: this machine has 1 to {os.cpu_count()}")

    def measure(self, models: Sequence[bytes], seconds: float = 1.0) -> list[Latency]:
        """Times each model for about `seconds`, in turns, so that a slow moment of the machine hits all alike."""
        with pinned(self.threads):
            timings = [Timing(load(model, self.threads)) for model in models]
            for turn in range(1, ROUNDS + 1):
                for timing in timings:
                    timing.run(seconds / ROUNDS, LEAST_RUNS * turn // ROUNDS)
        reference_ms = self.reference_ms or reference().fastest_ms()
        return [timing.latency(reference_ms) for timing in timings]


@dataclass
class Timing:
    """Runs of one model: seconds, and seconds of the reference beside them."""

    interpreter: Interpreter
    runs: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(WARM_UP):
            self.interpreter.invoke()

    def run(self, seconds: float, least: int) -> None:
        """For so many seconds, and until there are `least` runs in all."""
        deadline = time.perf_counter() + seconds
        before = reference().time(CHUNK_SECONDS)
        while len(self.runs) < least or time.perf_counter() < deadline:
            self.interpreter.invoke()  # the reference, or another model, pushed this one out of the caches
            taken = list(_chunk(self.interpreter))
            after = reference().time(sum(taken))
            self.runs += [(t, (before + after) / 2) for t in taken]
            before = after

    def latency(self, reference_ms: float) -> Latency:
        ratios = [seconds / beside for seconds, beside in self.runs]
        deciles = statistics.quantiles(ratios, n=10)
        return Latency(
            ms=deciles[4] * reference_ms,
            p10_ms=deciles[0] * reference_ms,
            p90_ms=deciles[8] * reference_ms,
            raw_ms=statistics.median(seconds for seconds, _ in self.runs) * 1e3,
            references=deciles[4],
            runs=len(self.runs),
        )


def _chunk(interpreter: Interpreter) -> Iterator[float]:
    left = CHUNK_SECONDS
    while left > 0:
        begun = time.perf_counter()
        interpreter.invoke()
        taken = time.perf_counter() - begun
        left -= taken
        yield taken


class Reference:
    """How fast the machine is right now, in arithmetic and in memory."""

    def __init__(self) -> None:
        arithmetic, memory = Builder((32, 32)), Builder((96, 96))
        arithmetic.shapes[INPUT], memory.shapes[INPUT] = (32, 32, 64), (96, 96, 48)
        arithmetic.conv("reference", INPUT, 64)
        memory.depthwise("reference", INPUT)
        self.halves = [load(skeleton(tuple(builder.ops)), 1) for builder in (arithmetic, memory)]
        self.seen: list[float] = []
        deadline = time.perf_counter() + 0.5
        while time.perf_counter() < deadline:
            self.time(CHUNK_SECONDS)

    def time(self, beside: float) -> float:
        """Seconds of one run, beside runs that took `beside` seconds."""
        halves = [_mean_seconds(half, REFERENCE_SHARE * beside) for half in self.halves]
        self.seen.append(statistics.geometric_mean(halves))
        return self.seen[-1]

    def fastest_ms(self) -> float:
        """The 10th percentile of all runs so far: the machine undisturbed."""
        return statistics.quantiles(self.seen, n=10)[0] * 1e3


def _mean_seconds(interpreter: Interpreter, seconds: float) -> float:
    """Of at least two runs; one more before them brings the model back into the caches."""
    interpreter.invoke()
    begun = time.perf_counter()
    runs, spent = 0, 0.0
    while runs < 2 or spent < seconds:
        interpreter.invoke()
        runs, spent = runs + 1, time.perf_counter() - begun
    return spent / runs


@cache
def reference() -> Reference:
    return Reference()


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
