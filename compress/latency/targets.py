"""Where latency is measured: this machine, a board reached by ssh, or an Android device reached by adb.

All three time the LiteRT runtime with XNNPACK and return the same record. `compress.latency.npu_target` estimates it.
"""

import atexit
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, ClassVar

from compress.latency import cold_start, device_facts, timing
from compress.latency.adb import Device
from compress.latency.adb_session import Runs, in_units_of_reference, interleaved
from compress.latency.cores import BIG, Core, choose_cores
from compress.latency.drift import Drift
from compress.latency.energy_meter import answer_energy
from compress.latency.npu_target import open_npu
from compress.latency.power_rails import rail_energies
from compress.latency.reference import reference_models
from compress.latency.ssh import Board
from compress.latency.target import Target
from compress.latency.target_names import VELA, check_threads, parse_target
from compress.latency.timing import Timed

REFERENCE_EVERY = 6  # models of a session of adb


@dataclass(frozen=True)
class HostTarget(Target):
    """The LiteRT interpreter with XNNPACK in this process."""

    def __post_init__(self) -> None:
        _ = self.chosen_cores  # an impossible number of threads is refused at once

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

    @property
    def chosen_cores(self) -> tuple[Core, ...]:
        """See `Target.chosen_cores`."""
        return choose_cores(device_facts.described_cores(), self.cores, self.threads, "this machine")

    @property
    def drift(self) -> Drift:
        """See `Target.drift`."""
        return _host_drift()

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """See `Target.time`.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs.

        Returns:
            The timing of each model, and the undisturbed time of the reference in ms.
        """
        reference, cores = _host_reference(), self._numbers
        timed = timing.measure(models, seconds, self.threads, reference, cores)
        self.drift.tell(device_facts.conditions(cores), "this machine")
        return timed, reference.fastest_ms()

    def cold_start_ms(self, model: bytes) -> float:
        """See `Target.cold_start_ms`.

        Args:
            model: The content of a .tflite file.

        Returns:
            Milliseconds.
        """
        return cold_start.cold_start_ms(model, self.threads, self._numbers)

    def _energies(self, models: Sequence[bytes], seconds: float) -> dict[str, Any]:
        with timing.pinned(self._numbers):
            runs = [timing.load(model, self.threads).invoke for model in models]
            return answer_energy(runs, self.energy_sensor, seconds)


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

    @property
    def chosen_cores(self) -> tuple[Core, ...]:
        """See `Target.chosen_cores`."""
        return choose_cores(_board(self.destination).cores, self.cores, self.threads, self.name)

    @property
    def drift(self) -> Drift:
        """See `Target.drift`."""
        return _board(self.destination).drift

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """See `Target.time`.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs.

        Returns:
            The timing of each model, and the undisturbed time of the reference in ms.
        """
        return _board(self.destination).time(models, seconds, self.threads, self._numbers)

    def _energies(self, models: Sequence[bytes], seconds: float) -> dict[str, Any]:
        return _board(self.destination).energies(models, seconds, self.threads, self._numbers, self.energy_sensor)


@dataclass(frozen=True)
class AdbTarget(Target):
    """TensorFlow Lite's `benchmark_model` on an Android device. The binary is the user's.

    Attributes:
        serial: As `adb devices` lists it; "" for the only device.
        binary: The path of `benchmark_model`; "" for the one that the environment variable SLIMLAB_BENCHMARK_MODEL
            names.
    """

    serial: str = ""
    binary: str = ""
    session_models: ClassVar[int] = 48

    @property
    def name(self) -> str:
        """The target as `--target` names it."""
        return f"adb:{self.serial}" if self.serial else "adb"

    @property
    def _connected(self) -> Device:
        return _device(self.serial, self.binary)

    def facts(self) -> dict[str, str]:
        """See `Target.facts`.

        Returns:
            The device's properties, and the digest of the binary as runtime.
        """
        return self._connected.facts

    @property
    def chosen_cores(self) -> tuple[Core, ...]:
        """See `Target.chosen_cores`."""
        return choose_cores(self._connected.cores, self.cores, self.threads, self.name)

    @property
    def drift(self) -> Drift:
        """See `Target.drift`."""
        return self._connected.drift

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """Times models one after the other in one session, and the reference before and after every few of them.

        Args:
            models: The content of .tflite files.
            seconds: For at least so long each model runs.

        Returns:
            The timing of each model, and the shortest time of the reference so far in ms.
        """
        device, parts = self._connected, reference_models()
        order = list(parts)
        for begin, end in interleaved(len(models), REFERENCE_EVERY):
            order += [*models[begin:end], *parts]
        runs = iter(device.run(order, seconds, self.threads, self._numbers))
        references = [_geometric_mean(islice(runs, len(parts)))]
        of_models: list[Runs] = []
        for begin, end in interleaved(len(models), REFERENCE_EVERY):
            of_models += islice(runs, end - begin)
            references.append(_geometric_mean(islice(runs, len(parts))))
        device.references += references
        ratios = in_units_of_reference(of_models, references, REFERENCE_EVERY)
        timed = [Timed(*ratio, run.median_ms, run.runs) for ratio, run in zip(ratios, of_models, strict=True)]
        return timed, min(device.references)

    def _energies(self, models: Sequence[bytes], seconds: float) -> dict[str, Any]:
        return rail_energies(self._connected, models, seconds, self.threads, self._numbers, self.energy_sensor)


def _geometric_mean(runs: Iterable[Runs]) -> float:
    return statistics.geometric_mean(run.median_ms for run in runs)


def open_target(
    name: str,
    threads: int,
    reference_ms: float | None = None,
    cores: str = BIG,
    binary: str = "",
    energy_sensor: str = "",
) -> Target:
    """The target that `--target` names. Nothing is connected to yet.

    Args:
        name: See TARGET_FORMS.
        threads: The runtime's number of threads.
        reference_ms: Undisturbed time of the reference, where it is known from a table.
        cores: Which cores models run on, as `--cores` names them.
        binary: The path of the device's `benchmark_model`, where `--benchmark-model` names it.
        energy_sensor: The value of `--energy-sensor`.

    Returns:
        The target.

    Raises:
        InputError: The name has none of the forms, or the number of threads is not possible.
    """
    parsed = parse_target(name)
    check_threads(parsed, threads)
    if parsed.kind == "host":
        return HostTarget(threads, reference_ms, cores, energy_sensor)
    if parsed.kind == VELA:
        return open_npu(parsed.address)
    if parsed.kind == "ssh":
        return SshTarget(threads, reference_ms, cores, energy_sensor, parsed.address)
    return AdbTarget(threads, reference_ms, cores, energy_sensor, parsed.address, binary)


_boards: dict[str, Board] = {}
_devices: dict[tuple[str, str], Device] = {}


@cache
def _host_reference() -> timing.Reference:
    return timing.Reference(reference_models())


@cache
def _host_drift() -> Drift:
    return Drift()


def _board(destination: str) -> Board:
    if destination not in _boards:
        _boards[destination] = Board(destination, reference_models())
    return _boards[destination]


def _device(serial: str, binary: str) -> Device:
    if (serial, binary) not in _devices:
        _devices[serial, binary] = Device(serial, binary)
    return _devices[serial, binary]


@atexit.register
def close_connections() -> None:
    """Ends all connections to boards and devices, and removes what lies on them."""
    while _boards:
        _boards.popitem()[1].close()
    while _devices:
        _devices.popitem()[1].close()
