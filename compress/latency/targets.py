"""Where latency is measured: this machine, a board reached by ssh, or an Android device reached by adb.

All three time the LiteRT runtime with XNNPACK and return the same record.
"""

import atexit
import os
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from compress.latency import cold_start, device_facts, timing
from compress.latency.adb import Device
from compress.latency.busy_machine import Latency, latency_of, measure_until_quiet
from compress.latency.reference import reference_models
from compress.latency.ssh import Board
from compress.latency.target_names import parse_target
from compress.latency.timing import Timed
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Target(ABC):
    """A device on which models are timed. A connection is opened when it is first needed.

    Attributes:
        threads: The runtime's number of threads.
        reference_ms: Undisturbed time of the reference; by default the fastest tenth of what this process has seen.
    """

    threads: int = 1
    reference_ms: float | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The target as `--target` names it."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """What is known of the device.

        Returns:
            `runtime`, `processor` and more.
        """

    @abstractmethod
    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """Times models in turns.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs.

        Returns:
            The timing of each model, and the undisturbed time of the reference in ms.
        """

    def measure_once(self, models: Sequence[bytes], seconds: float) -> list[Latency]:
        """Measures models once, busy machine or not.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs.

        Returns:
            The latency of each model.
        """
        timed, fastest_ms = self.time(models, seconds)
        return [latency_of(one, self.reference_ms or fastest_ms) for one in timed]

    def measure(self, models: Sequence[bytes], seconds: float = 1.0) -> list[Latency]:
        """Measures models, and again those for which the machine was busy (`compress.latency.busy_machine`).

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs, each time.

        Returns:
            The latency of each model.
        """
        return measure_until_quiet(lambda some: self.measure_once(some, seconds), models)

    def cold_start_ms(self, model: bytes) -> float | None:
        """Times loading a model and running it for the first time.

        Args:
            model: The content of a .tflite file.

        Returns:
            Milliseconds; None on a target that cannot time it.
        """
        return None

    def fastest_reference_ms(self) -> float:
        """The undisturbed time of the reference.

        Returns:
            The fastest tenth of what this process has seen, in ms.
        """
        return self.time([], 0.0)[1]


@dataclass(frozen=True)
class HostTarget(Target):
    """The LiteRT interpreter with XNNPACK in this process."""

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= (os.cpu_count() or 1):
            raise InputError(f"--threads {self.threads}: this machine has 1 to {os.cpu_count()}")

    @property
    def name(self) -> str:
        """The target as `--target` names it."""
        return "host"

    def facts(self) -> dict[str, str]:
        """See `Target.facts`.

        Returns:
            What is known of this machine.
        """
        return device_facts.facts()

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """See `Target.time`.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs.

        Returns:
            The timing of each model, and the undisturbed time of the reference in ms.
        """
        reference = _host_reference()
        return timing.measure(models, seconds, self.threads, reference), reference.fastest_ms()

    def cold_start_ms(self, model: bytes) -> float:
        """See `Target.cold_start_ms`.

        Args:
            model: The content of a .tflite file.

        Returns:
            Milliseconds.
        """
        return cold_start.cold_start_ms(model, self.threads)


@dataclass(frozen=True)
class SshTarget(Target):
    """The same on a Linux board whose python3 has ai-edge-litert.

    Attributes:
        destination: USER@HOST or USER@HOST:PORT.
    """

    destination: str = ""

    @property
    def name(self) -> str:
        """The target as `--target` names it."""
        return f"ssh:{self.destination}"

    def facts(self) -> dict[str, str]:
        """See `Target.facts`.

        Returns:
            What the board says of itself.
        """
        return _board(self.destination).facts

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """See `Target.time`.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs.

        Returns:
            The timing of each model, and the undisturbed time of the reference in ms.
        """
        return _board(self.destination).time(models, seconds, self.threads)


@dataclass(frozen=True)
class AdbTarget(Target):
    """TensorFlow Lite's `benchmark_model` on an Android device. The binary is the user's, named by the environment
    variable SLIMLAB_BENCHMARK_MODEL.

    Attributes:
        serial: As `adb devices` lists it; "" for the only device.
    """

    serial: str = ""

    @property
    def name(self) -> str:
        """The target as `--target` names it."""
        return f"adb:{self.serial}" if self.serial else "adb"

    def facts(self) -> dict[str, str]:
        """See `Target.facts`.

        Returns:
            The device's properties, and the digest of the binary as runtime.
        """
        return _device(self.serial).facts

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """Times models one after the other, and the reference before and after them.

        Args:
            models: The content of .tflite files.
            seconds: For at least so long each model runs.

        Returns:
            The timing of each model, and the shortest time of the reference so far in ms.
        """
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


_boards: dict[str, Board] = {}
_devices: dict[str, Device] = {}


@cache
def _host_reference() -> timing.Reference:
    return timing.Reference(reference_models())


def _board(destination: str) -> Board:
    if destination not in _boards:
        _boards[destination] = Board(destination, reference_models())
    return _boards[destination]


def _device(serial: str) -> Device:
    if serial not in _devices:
        _devices[serial] = Device(serial)
    return _devices[serial]


@atexit.register
def close_connections() -> None:
    """Ends all connections to boards and devices, and removes what lies on them."""
    for opened in (_boards, _devices):
        while opened:
            opened.popitem()[1].close()
