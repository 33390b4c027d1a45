"""What every target is: a device on which models are timed (`compress.latency.targets`)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from compress.latency.busy_machine import Latency, latency_of, measure_until_quiet
from compress.latency.cores import BIG, Core, format_cores
from compress.latency.drift import Drift
from compress.latency.energy import Energy, energies_of
from compress.latency.timing import Timed
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Target(ABC):
    """A device on which models are timed. A connection is opened when it is first needed.

    Attributes:
        threads: The runtime's number of threads.
        reference_ms: Undisturbed time of the reference; by default the fastest tenth of what this process has seen.
        cores: Which cores models run on, as `--cores` names them.
        energy_sensor: The value of `--energy-sensor`; "" for the sensor that the device has.
        runs_float: Whether it runs float ops.
        session_models: How many models are best measured at a time; 1 where it makes no difference.
    """

    threads: int = 1
    reference_ms: float | None = None
    cores: str = BIG
    energy_sensor: str = ""
    runs_float: ClassVar[bool] = True
    session_models: ClassVar[int] = 1

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

    @property
    @abstractmethod
    def chosen_cores(self) -> tuple[Core, ...]:
        """The cores that models run on. Raises InputError when the device has too few, or lacks one that is named."""

    @property
    @abstractmethod
    def drift(self) -> Drift:
        """The clock and the temperature of the device so far."""

    def measured_with(self) -> dict[str, str]:
        """How the device measured.

        Returns:
            The cores in use, and the ranges of clock and temperature as far as the device tells them.
        """
        return {"used_cores": format_cores(self.chosen_cores), **self.drift.facts()}

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

    def measure_energy(self, models: Sequence[bytes], seconds: float = 1.0) -> list[Energy]:
        """Measures the energy of models, idle subtracted.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs, several times.

        Returns:
            The energy of each model.

        Raises:
            InputError: The target has no sensor, or the sensor cannot be read or does not show the runs.
        """
        return energies_of(self._energies(models, seconds), self.name)

    def energy_sensor_name(self) -> str:
        """Asks for the sensor of energy.

        Returns:
            Its name, for records.

        Raises:
            InputError: The target has none, or it cannot be read.
        """
        answer = self._energies([], 0.0)
        energies_of(answer, self.name)
        return str(answer["sensor"])

    def _energies(self, models: Sequence[bytes], seconds: float) -> dict[str, Any]:
        """What the device answers (`compress.latency.energy_meter.answer_energy`)."""
        raise InputError(f"--target {self.name}: its energy is not known")

    @property
    def _numbers(self) -> list[int]:
        return [core.number for core in self.chosen_cores]

    def fastest_reference_ms(self) -> float:
        """The undisturbed time of the reference.

        Returns:
            The fastest tenth of what this process has seen, in ms.
        """
        return self.time([], 0.0)[1]
