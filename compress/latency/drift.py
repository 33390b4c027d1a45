"""Whether a device gets warm, or its clock falls, while it measures.

The reference takes most of a slower clock out of the figures (`compress.latency.timing`). The user is told all the
same: a table of a hot phone says little of a cool one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MIN_CLOCK = 0.9  # of the fastest clock that was seen: below it the user is told
MAX_WARMING = 15.0  # degrees Celsius above the first temperature: above it the user is told


@dataclass
class Drift:
    """The clock and the temperature of a device over a session.

    Attributes:
        mhz: The clock of the slowest core that models run on, after each measurement.
        celsius: The temperature of the warmest sensor, after each measurement.
    """

    mhz: list[float] = field(default_factory=list)
    celsius: list[float] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def tell(self, conditions: Mapping[str, Sequence[float]], where: str) -> None:
        """Takes what the sensors say after a measurement. Prints a line the first time that the clock has fallen too
        far, and the first time that the device has warmed up too much.

        Args:
            conditions: `khz` of each core in use, and `celsius` of each sensor as it gives it; empty where the device
                does not tell.
            where: The device, for the line.
        """
        if khz := conditions.get("khz"):
            self.mhz.append(min(khz) / 1000)
        if celsius := plausible_celsius(conditions.get("celsius", ())):
            self.celsius.append(max(celsius))
        reasons = {}
        if self.mhz and self.mhz[-1] < MIN_CLOCK * max(self.mhz):
            reasons["mhz"] = f"the clock fell from {max(self.mhz):.0f} to {self.mhz[-1]:.0f} MHz"
        if self.celsius and self.celsius[-1] > self.celsius[0] + MAX_WARMING:
            reasons["celsius"] = f"it warmed up from {self.celsius[0]:.0f} to {self.celsius[-1]:.0f} °C"
        if new := [reason for name, reason in reasons.items() if name not in self._told]:
            print(f"{where}: {' and '.join(new)}; let it cool, or fix its clock, for figures that repeat", flush=True)
        self._told |= set(reasons)

    def facts(self) -> dict[str, str]:
        """What a record says of the session.

        Returns:
            The ranges of `clock_mhz` and `temperature_c`, as far as the device tells them.
        """
        found = {"clock_mhz": self.mhz, "temperature_c": self.celsius}
        return {name: f"{min(seen):.0f} to {max(seen):.0f}" for name, seen in found.items() if seen}


def plausible_celsius(readings: Sequence[float]) -> list[float]:
    """Sorts out readings of thermal sensors that are no temperatures of a running device.

    Args:
        readings: As Linux gives them, in thousandths of a degree. Some Android devices give degrees.

    Returns:
        Degrees Celsius.
    """
    degrees = [reading / 1000 if abs(reading) >= 1000 else reading for reading in readings]
    return [one for one in degrees if 0 < one < 130]
