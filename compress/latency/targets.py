"""Where latency is measured: this machine, a board reached by ssh, or an Android device reached by adb.

All three time the LiteRT runtime with XNNPACK and return the same record. How the machine's other work is taken
out of the figures: `compress.latency.timing`.
"""

import os
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from compress.latency import timing
from compress.latency.adb import Device
from compress.latency.ssh import Board
from compress.latency.target_names import parse_target
from compress.latency.timing import Timed
from compress.tflite.writer import random_weight_model
from search_spaces.errors import InputError
from search_spaces.ops import INPUT, Builder


@dataclass(frozen=True)
class Latency:
    """Of one model: median, 10th and 90th percentile in ms, corrected for the machine's momentary speed; the plain
    median `raw_ms`; the median in units of the reference; the number of runs."""

    ms: float
    p10_ms: float
    p90_ms: float
    raw_ms: float
    relative: float
    runs: int


@dataclass(frozen=True)
class Target(ABC):
    """`threads` is the runtime's number of threads, `reference_ms` the undisturbed time of the reference (default:
    the fastest tenth seen so far)."""

    threads: int = 1
    reference_ms: float | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """As `--target` spells it."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """`runtime`, `processor` and what else is known of the device."""

    @abstractmethod
    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """Times .tflite files for about `seconds` each; also the fastest reference seen so far, in ms."""

    def measure(self, models: Sequence[bytes], seconds: float = 1.0) -> list[Latency]:
        """Times .tflite files for about `seconds` each."""
        timed, fastest_ms = self.time(models, seconds)
        one = self.reference_ms or fastest_ms
        return [Latency(t.relative * one, t.p10 * one, t.p90 * one, t.raw_ms, t.relative, t.runs) for t in timed]

    def fastest_reference_ms(self) -> float:
        return self.time([], 0.0)[1]


@dataclass(frozen=True)
class HostTarget(Target):
    """The LiteRT interpreter with XNNPACK on this machine."""

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= (os.cpu_count() or 1):
            raise InputError(f"--threads {self.threads}: this machine has 1 to {os.cpu_count()}")

    @property
    def name(self) -> str:
        return "host"

    def facts(self) -> dict[str, str]:
        return timing.facts()

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        reference = _host_reference()
        return timing.measure(models, seconds, self.threads, reference), reference.fastest_ms()


@dataclass(frozen=True)
class SshTarget(Target):
    """The same on a Linux board whose python3 has ai-edge-litert; `destination` is USER@HOST or USER@HOST:PORT."""

    destination: str = ""

    @property
    def name(self) -> str:
        return f"ssh:{self.destination}"

    def facts(self) -> dict[str, str]:
        return _board(self.destination).facts

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        return _board(self.destination).time(models, seconds, self.threads)


@dataclass(frozen=True)
class AdbTarget(Target):
    """TensorFlow Lite's `benchmark_model` on an Android device; the binary is the user's, named by the environment
    variable SLIMLAB_BENCHMARK_MODEL."""

    serial: str = ""

    @property
    def name(self) -> str:
        return f"adb:{self.serial}" if self.serial else "adb"

    def facts(self) -> dict[str, str]:
        return _device(self.serial).facts

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        device, parts = _device(self.serial), reference_models()
        runs = device.run([*parts, *models, *parts], seconds, self.threads)
        around = (*runs[: len(parts)], *runs[-len(parts) :])
        reference_ms = statistics.geometric_mean(run.median_ms for run in around)
        device.references.append(reference_ms)
        timed = [
            Timed(
                run.median_ms / reference_ms,
                run.p10_ms / reference_ms,
                run.p90_ms / reference_ms,
                run.median_ms,
                run.runs,
            )
            for run in runs[len(parts) : -len(parts)]
        ]
        return timed, min(device.references)


def open_target(name: str, threads: int, reference_ms: float | None = None) -> Target:
    """The target that `--target` names. Nothing is connected to yet.

    Args:
        name: See TARGET_FORMS.
        threads: The runtime's number of threads.
        reference_ms: Undisturbed time of the reference, where it is known from a table.

    Returns:
        The target.

    Raises:
        InputError: The name has none of the forms, or the number of threads is not possible.
    """
    parsed = parse_target(name)
    if parsed.kind == "host":
        return HostTarget(threads, reference_ms)
    if threads < 1:
        raise InputError(f"--threads {threads}: give a positive number")
    if parsed.kind == "ssh":
        return SshTarget(threads, reference_ms, parsed.address)
    return AdbTarget(threads, reference_ms, parsed.address)


def reference_models() -> list[bytes]:
    """The parts of the reference (`compress.latency.timing`)."""
    arithmetic, near, far = Builder((32, 32)), Builder((64, 64)), Builder((256, 256))
    arithmetic.shapes[INPUT], near.shapes[INPUT] = (32, 32, 64), (64, 64, 48)
    far.shapes |= {"a": (256, 256, 16), "b": (256, 256, 16)}
    arithmetic.conv("reference", INPUT, 64)
    near.depthwise("reference", INPUT)
    far.add("reference", "a", "b")
    return [random_weight_model(tuple(builder.ops)) for builder in (arithmetic, near, far)]


@cache
def _host_reference() -> timing.Reference:
    return timing.Reference(reference_models())


@cache
def _board(destination: str) -> Board:
    return Board(destination, reference_models())


@cache
def _device(serial: str) -> Device:
    return Device(serial)
