"""Energy as a measured quantity: what a device tells of a model's run, and how networks' energy is predicted.

A single op takes microseconds, and sensors tell some hundred values a second. So the energy of whole networks is
measured, and fitted to the sums over their ops that the latency table has: a group of ops costs so many millijoules
for each millisecond, which is its power in watts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import median
from typing import Any

from search_spaces.errors import InputError

MAX_SPREAD = 0.2  # of the repeats; beyond it the user is told


@dataclass(frozen=True)
class Energy:
    """The energy of one model's run.

    Attributes:
        mj: Millijoules above what the device takes when idle: the median of the repeats.
        spread: Of the repeats: the largest less the smallest over the median.
        idle_w: Power of the idle device in watts.
        runs: Number of runs.
    """

    mj: float
    spread: float
    idle_w: float
    runs: int

    def facts(self) -> dict[str, float]:
        """The figures as records have them.

        Returns:
            `energy_mj`, `energy_spread` and `idle_w`.
        """
        return {"energy_mj": self.mj, "energy_spread": self.spread, "idle_w": self.idle_w}


def energies_of(answer: Mapping[str, Any], where: str) -> list[Energy]:
    """Reads what a device answers (`compress.latency.energy_meter.answer_energy`).

    Args:
        answer: The answer.
        where: The target, for errors and messages.

    Returns:
        The energy of each model.

    Raises:
        InputError: The device has no sensor, or the sensor does not show the runs.
    """
    if "refused" in answer:
        raise InputError(f"--target {where}: {answer['refused']}")
    found = []
    for one in answer["energies"]:
        mj = 1e3 * median(one["joules"])
        if not mj > 0:
            raise InputError(
                f"--target {where}: the sensor {answer['sensor']} shows no more power in runs than in idle times; "
                "name another by --energy-sensor"
            )
        found.append(Energy(mj, 1e3 * (max(one["joules"]) - min(one["joules"])) / mj, one["idle_w"], one["runs"]))
    if found and (spread := median(one.spread for one in found)) > MAX_SPREAD:
        print(f"{where}: repeats of an energy spread by {spread:.0%}; let nothing else run on the device", flush=True)
    return found


@dataclass(frozen=True)
class EnergyFit:
    """How the sums over a network's ops join to its energy.

    Attributes:
        sensor: What it was measured with.
        coefficients: `intercept` in mJ, and for each group of ops its power in W.
        residuals: Relative errors on networks that were not fitted.
        idle_w: Power of the idle device in watts, which the energies are above of.
        spread: Median spread of the repeats.
    """

    sensor: str
    coefficients: Mapping[str, float]
    residuals: Mapping[str, float]
    idle_w: float
    spread: float

    def to_dict(self) -> dict[str, Any]:
        """The fit as the table's file has it.

        Returns:
            Plain values.
        """
        return asdict(self)

    @staticmethod
    def from_dict(value: Mapping[str, Any], groups: Sequence[str]) -> "EnergyFit":
        """The inverse of `to_dict`.

        Args:
            value: Plain values.
            groups: The names of the coefficients.

        Returns:
            The fit.
        """
        found = EnergyFit(**value)
        numbers = [*found.coefficients.values(), *found.residuals.values(), found.idle_w, found.spread]
        if set(found.coefficients) != set(groups) or not all(map(isfinite, numbers)):
            raise ValueError("coefficients of energy")
        return found
