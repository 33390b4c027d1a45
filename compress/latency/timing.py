"""Times models with the LiteRT interpreter on the device it runs on. It imports nothing of this project, so that the
ssh target can copy this one file to a board; there `serve` answers requests on standard input.

Other work on the machine can make everything 1.2 to 2 times slower for milliseconds or for minutes. So a reference
is timed before and after every few runs: a convolution, which waits for arithmetic, a depthwise convolution, which
waits for the caches, and an addition, which waits for memory. Each run counts in units of the reference beside it
(the geometric mean of the three); times the reference's undisturbed time that is a latency in ms.
`benchmarks/latency_noise.md` shows what this is worth.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from ai_edge_litert.interpreter import Interpreter

WARM_UP_RUNS, MIN_RUNS, ROUNDS = 2, 4, 4
ROUND_SECONDS = 0.01  # at least, of each model
CHUNK_SECONDS = 0.002  # of runs between two looks at the reference
COPY = "slimlab-"  # what the name of a copy on a board begins with
REFERENCE_SHARE = 0.08  # of the time of those runs is spent on each part of the reference, at least two runs


@dataclass(frozen=True)
class Timed:
    """Of one model: median, 10th and 90th percentile in units of the reference, the plain median in ms, the number
    of runs."""

    relative: float
    p10: float
    p90: float
    raw_ms: float
    runs: int


def measure(models: Sequence[bytes], seconds: float, threads: int, reference: "Reference") -> list[Timed]:
    """Times each model for about `seconds`, in turns, so that a slow moment of the machine hits all alike."""
    with pinned(threads):
        timings = [_Timing(load(model, threads), reference) for model in models]
        rounds = max(1, min(ROUNDS, round(seconds / ROUND_SECONDS)))
        for turn in range(1, rounds + 1):
            for timing in timings:
                timing.run(seconds / rounds, MIN_RUNS * turn // rounds)
    return [timing.timed() for timing in timings]


@dataclass
class _Timing:
    """Runs of one model: seconds, and seconds of the reference beside them."""

    interpreter: Interpreter
    reference: "Reference"
    runs: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(WARM_UP_RUNS):
            self.interpreter.invoke()

    def run(self, seconds: float, least: int) -> None:
        """For so many seconds, and until there are `least` runs in all."""
        deadline = time.perf_counter() + seconds
        before = self.reference.time(CHUNK_SECONDS)
        while len(self.runs) < least or time.perf_counter() < deadline:
            self.interpreter.invoke()  # the reference, or another model, pushed this one out of the caches
            taken = list(_chunk(self.interpreter))
            after = self.reference.time(sum(taken))
            self.runs += [(t, (before + after) / 2) for t in taken]
            before = after

    def timed(self) -> Timed:
        deciles = statistics.quantiles((seconds / beside for seconds, beside in self.runs), n=10)
        raw_ms = statistics.median(seconds for seconds, _ in self.runs) * 1e3
        return Timed(deciles[4], deciles[0], deciles[8], raw_ms, len(self.runs))


def _chunk(interpreter: Interpreter) -> Iterator[float]:
    left = CHUNK_SECONDS
    while left > 0:
        begun = time.perf_counter()
        interpreter.invoke()
        taken = time.perf_counter() - begun
        left -= taken
        yield taken


class Reference:
    """How fast the machine is right now: models that take a fraction of a millisecond each."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = [load(model, 1) for model in parts]
        self.seen: list[float] = []
        deadline = time.perf_counter() + 0.5
        while time.perf_counter() < deadline:
            self.time(CHUNK_SECONDS)

    def time(self, beside: float) -> float:
        """Seconds of one run, beside runs that took `beside` seconds."""
        parts = [_mean_seconds(part, REFERENCE_SHARE * beside) for part in self.parts]
        self.seen.append(statistics.geometric_mean(parts))
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


def facts() -> dict[str, str]:
    """What a table must have been made with to hold true here (runtime, processor), and what is good to know."""
    found = {"runtime": f"litert {version('ai-edge-litert')} xnnpack", "processor": processor_name()}
    known = {
        "device": Path("/proc/device-tree/model"),
        "governor": Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }
    for name, path in known.items():
        if path.is_file():
            found[name] = path.read_text(errors="replace").strip("\0\n ")
    return {**found, "system": platform.platform(), "cores": str(os.cpu_count())}


def processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "unknown"


def send(stream: IO[bytes], header: dict[str, Any], models: Sequence[bytes] = ()) -> None:
    """One line of JSON, then the models one after the other."""
    stream.write(json.dumps({**header, "sizes": [len(model) for model in models]}).encode() + b"\n")
    for model in models:
        stream.write(model)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """The inverse of `send`; None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    header = json.loads(line)
    return header, [stream.read(size) for size in header["sizes"]]


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """First the reference's models are read and the facts answered, then each request for a measurement."""
    if Path(__file__).name.startswith(COPY):
        Path(__file__).unlink()  # nothing stays behind on the board
    begun = receive(requests)
    if begun is None:
        return
    reference = Reference(begun[1])
    send(answers, {"facts": facts()})
    while (request := receive(requests)) is not None:
        header, models = request
        timed = measure(models, header["seconds"], header["threads"], reference)
        send(answers, {"timed": [asdict(t) for t in timed], "fastest_ms": reference.fastest_ms()})


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
