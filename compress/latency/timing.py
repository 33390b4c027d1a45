"""Times models with the LiteRT interpreter on the device on which it runs.

This file imports nothing of the project and runs with Python 3.9: the ssh target sends it to a board, where `serve`
answers requests.

Other work on the machine can make everything 1.2 to 2 times slower, for milliseconds or for minutes. So a reference is
timed before and after every few runs. It has three parts: a convolution waits for arithmetic, a depthwise convolution
waits for the caches, an addition waits for memory. Each run counts in units of the reference beside it, the geometric
mean of the three. The median of these ratios, times the undisturbed time of the reference, is the latency in ms.
`benchmarks/latency_noise.md` shows how much this helps. It fails where a run is interrupted more often than the much
shorter reference: `Timed.cpu_share` shows that.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from ai_edge_litert.interpreter import Interpreter

WARM_UP_RUNS, MIN_RUNS, ROUNDS = 2, 4, 4
ROUND_SECONDS = 0.01  # at least, of each model
CHUNK_SECONDS = 0.002  # of runs between two runs of the reference
REFERENCE_SHARE = 0.08  # of the time of those runs is spent on each part of the reference, at least two runs
REFERENCE_WARM_UP_SECONDS = 0.5
MARK = b"slimlab-timing "  # begins a message; whatever a login shell printed before it is skipped
MAX_SKIPPED_LINES = 10_000


@dataclass(frozen=True)
class Timed:
    """The timing of one model.

    Attributes:
        relative: Median time of a run, in units of the reference.
        p10: 10th percentile, in units of the reference.
        p90: 90th percentile, in units of the reference.
        raw_ms: Plain median in ms.
        runs: Number of runs.
        cpu_share: Share of the time in which the timing thread had a core. Below 1, other work interrupted the runs.
            None where it is not known, and with more than one thread.
    """

    relative: float
    p10: float
    p90: float
    raw_ms: float
    runs: int
    cpu_share: float | None = None


def measure(
    models: Sequence[bytes], seconds: float, threads: int, reference: Reference, cores: Sequence[int] = ()
) -> list[Timed]:
    """Times models in turns, so that a slow moment of the machine hits all alike.

    Args:
        models: The content of .tflite files.
        seconds: For about so long each model runs.
        threads: Threads of the runtime.
        reference: The reference of this process.
        cores: The numbers of the cores to run on; empty for all.

    Returns:
        The timing of each model.
    """
    with pinned(cores):
        timings = [_Timing(load(model, threads), threads, reference) for model in models]
        rounds = max(1, min(ROUNDS, round(seconds / ROUND_SECONDS)))
        for turn in range(1, rounds + 1):
            for timing in timings:
                timing.run(seconds / rounds, MIN_RUNS * turn // rounds)
    return [timing.timed() for timing in timings]


@dataclass
class _Timing:
    """Runs of one model: seconds of each, and seconds of the reference beside it. Then how long this thread had a core
    for them, and how long they took in all."""

    interpreter: Interpreter
    threads: int
    reference: Reference
    runs: list[tuple[float, float]] = field(default_factory=list)
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __post_init__(self) -> None:
        for _ in range(WARM_UP_RUNS):
            self.interpreter.invoke()

    def run(self, seconds: float, least: int) -> None:
        """Runs the model, with the reference before and after every few runs.

        Args:
            seconds: At least so long.
            least: Until there are so many runs in all.
        """
        begun, cpu_begun = time.perf_counter(), time.thread_time()
        deadline = begun + seconds
        before = self.reference.time(CHUNK_SECONDS)
        while len(self.runs) < least or time.perf_counter() < deadline:
            self.interpreter.invoke()  # the reference, or another model, pushed this one out of the caches
            taken = list(_chunk(self.interpreter))
            after = self.reference.time(sum(taken))
            self.runs += [(t, (before + after) / 2) for t in taken]
            before = after
        self.wall_seconds += time.perf_counter() - begun
        self.cpu_seconds += time.thread_time() - cpu_begun

    def timed(self) -> Timed:
        """The timing of all runs so far.

        Returns:
            Their percentiles.
        """
        deciles = statistics.quantiles((seconds / beside for seconds, beside in self.runs), n=10)
        raw_ms = statistics.median(seconds for seconds, _ in self.runs) * 1e3
        # with more threads this one waits for the others, and has no need of a core
        share = min(1.0, self.cpu_seconds / self.wall_seconds) if self.threads == 1 else None
        return Timed(deciles[4], deciles[0], deciles[8], raw_ms, len(self.runs), share)


def _chunk(interpreter: Interpreter) -> Iterator[float]:
    left = CHUNK_SECONDS
    while left > 0:
        begun = time.perf_counter()
        interpreter.invoke()
        taken = time.perf_counter() - begun
        left -= taken
        yield taken


class Reference:
    """Shows how fast the machine is at the moment, by models that take a fraction of a millisecond each.

    Args:
        parts: The content of their .tflite files.

    Attributes:
        parts: Their interpreters.
        seen: Seconds of one run, each time it was timed.
    """

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = [load(model, 1) for model in parts]
        self.seen: list[float] = []
        deadline = time.perf_counter() + REFERENCE_WARM_UP_SECONDS
        while time.perf_counter() < deadline:
            self.time(CHUNK_SECONDS)

    def time(self, beside: float) -> float:
        """Times the reference once.

        Args:
            beside: Seconds that the runs beside it took. The reference runs longer beside longer runs.

        Returns:
            Seconds of one run: the geometric mean of the parts.
        """
        parts = [_mean_seconds(part, REFERENCE_SHARE * beside) for part in self.parts]
        self.seen.append(statistics.geometric_mean(parts))
        return self.seen[-1]

    def fastest_ms(self) -> float:
        """The undisturbed time of the reference.

        Returns:
            The 10th percentile of all its runs so far, in ms.
        """
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


def load(model: bytes, threads: int) -> Interpreter:
    """Makes an interpreter with XNNPACK.

    Args:
        model: The content of a .tflite file.
        threads: Threads of the runtime.

    Returns:
        The interpreter, ready to run.
    """
    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Keeps the process on some cores, where the system allows it.

    Args:
        cores: Their numbers; empty to leave the process where it is.

    Returns:
        A context manager. At its end the process may use the same cores as before.
    """
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, set(cores))
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def send(stream: IO[bytes], header: dict[str, Any], models: Sequence[bytes] = ()) -> None:
    """Sends a message: a line of JSON, then the models one after the other.

    Args:
        stream: Where to.
        header: Plain values.
        models: The content of .tflite files.
    """
    stream.write(MARK + json.dumps({**header, "sizes": [len(model) for model in models]}).encode() + b"\n")
    for model in models:
        stream.write(model)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """Receives what `send` sent. Anything before it is skipped: login shells may print a greeting.

    Args:
        stream: Where from.

    Returns:
        Header and models; None at the end of the stream.
    """
    for _ in range(MAX_SKIPPED_LINES):
        line = stream.readline()
        if not line:
            return None
        _, mark, text = line.partition(MARK)
        if mark:
            header = json.loads(text)
            return header, [stream.read(size) for size in header["sizes"]]
    return None


def serve(
    facts: dict[str, Any],
    conditions: Callable[[Sequence[int]], dict[str, list[float]]],
    energies: Callable[[Sequence[Callable[[], object]], str, float], dict[str, Any]],
) -> None:
    """Answers requests on standard input until they end: first the models of the reference, then each measurement.

    Args:
        facts: What is known of this device; the first answer.
        conditions: Reads clock and temperature, of the cores with the given numbers.
        energies: Measures the energy of runs by the sensor that is named, for so many seconds each.
    """
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints must not come between the answers
        begun = receive(requests)
        if begun is None:
            return
        reference = Reference(begun[1])
        send(answers, facts)
        while (request := receive(requests)) is not None:
            header, models = request
            cores = header["cores"]
            if "sensor" in header:
                with pinned(cores):
                    runs = [load(model, header["threads"]).invoke for model in models]
                    send(answers, energies(runs, header["sensor"], header["seconds"]))
                continue
            timed = [asdict(t) for t in measure(models, header["seconds"], header["threads"], reference, cores)]
            made = {"timed": timed, "fastest_ms": reference.fastest_ms()}
            send(answers, {**made, "conditions": conditions(cores)})
