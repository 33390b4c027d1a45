"""Measures the energy of a model's run on the device on which this file runs. Linux shows the sensor as files.

This file imports nothing of the project and runs with Python 3.9: the ssh target sends it to a board.

A sensor either counts energy (powercap, which is RAPL on Intel's and AMD's processors) or tells the power (INA chips
by hwmon, a battery by power_supply). A model runs for some seconds between two idle times of the same length. The mean
power of the two is what the device takes anyway, and is subtracted. Idle power that rises or falls steadily cancels.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
CHUNK_SECONDS = 0.05  # of runs between two readings
REPEATS = 3
MICRO = 1e-6
BATTERY_SETTLE_SECONDS, SETTLE_SECONDS = 5.0, 0.2  # until a sensor shows what the device does now
# names of the files of a sensor -> joules or watts in one of their units, and whether it counts energy
KINDS = (
    (("energy_uj",), MICRO, True),
    (("energy1_input",), MICRO, True),
    (("power_now",), MICRO, False),
    (("power1_input",), MICRO, False),
    (("power1_average",), MICRO, False),
    (("voltage_now", "current_now"), MICRO * MICRO, False),
    (("in1_input", "curr1_input"), MICRO, False),  # mV and mA
)


class NoSensor(Exception):
    """There is no sensor, or it cannot be read. The text is one line for the user."""


@dataclass(frozen=True)
class Source:
    """What is read at a time: a file, or two whose product counts.

    Attributes:
        files: The files.
        scale: Joules, or watts, in one unit of the product.
        counts: Whether it counts energy. Else it tells the power.
        wraps_at: Joules at which a counter begins again at zero; 0 for never.
    """

    files: tuple[Path, ...]
    scale: float
    counts: bool
    wraps_at: float = 0.0

    def read(self) -> float:
        """Reads the files.

        Returns:
            Joules or watts. Batteries that give a current below zero while they are used are taken at its size.
        """
        product = self.scale
        for file in self.files:
            product *= abs(read_number(file))
        return product

    def joules(self, before: float, after: float, seconds: float) -> float:
        """The energy between two readings.

        Args:
            before: The first reading.
            after: The second reading.
            seconds: The time between them.

        Returns:
            Joules.
        """
        if not self.counts:
            return after * seconds
        return after - before + (self.wraps_at if after < before else 0.0)


@dataclass(frozen=True)
class Sensor:
    """A sensor, or several whose energies are added.

    Attributes:
        name: How records name it.
        sources: What is read.
        settle_s: Seconds until it shows what the device does now.
    """

    name: str
    sources: tuple[Source, ...]
    settle_s: float

    def read(self) -> list[float]:
        """Reads all sources.

        Returns:
            Joules or watts of each.
        """
        return [source.read() for source in self.sources]

    def joules(self, before: Sequence[float], after: Sequence[float], seconds: float) -> float:
        """The energy between two readings of all sources.

        Args:
            before: The first readings.
            after: The second readings.
            seconds: The time between them.

        Returns:
            Joules.
        """
        return sum(s.joules(b, a, seconds) for s, b, a in zip(self.sources, before, after))  # noqa: B905 (Python 3.9)


def read_number(file: Path) -> float:
    """Reads a file of a sensor.

    Args:
        file: The file.

    Returns:
        The number in it.

    Raises:
        NoSensor: The file cannot be read, or holds no number.
    """
    try:
        return float(file.read_text())
    except PermissionError as error:
        raise NoSensor(f"{file} may not be read by this user; allow it with: sudo chmod a+r {file}") from error
    except (OSError, ValueError) as error:
        raise NoSensor(f"{file} gives no number ({error})") from error


def open_sensor(path: str = "") -> Sensor:
    """Opens a sensor and reads it once.

    Args:
        path: A folder of powercap, hwmon or power_supply, or a file in it; "" for the processor's own counters (RAPL).

    Returns:
        The sensor.

    Raises:
        NoSensor: There is none, it cannot be read, or its battery is being charged.
    """
    if path:
        folder, sources = Path(path), [_source(Path(path))]
        folder = folder if folder.is_dir() else folder.parent
        battery = sources[0].files[0].name.endswith("_now")
        if battery and _text(folder / "status") == "Charging":
            raise NoSensor(f"{folder} is being charged, so it does not tell what the device takes; unplug the charger")
        sensor = Sensor(path, tuple(sources), BATTERY_SETTLE_SECONDS if battery else SETTLE_SECONDS)
    else:
        # packages; memory is counted beside them where it is told
        domains = sorted(one for one in POWERCAP.glob("*rapl:*") if re.match(r"package|dram", _text(one / "name")))
        if not domains:
            raise NoSensor(
                f"no sensor of energy: {POWERCAP} has no RAPL; name a powercap, hwmon or power_supply folder by "
                "--energy-sensor PATH"
            )
        sensor = Sensor("RAPL", tuple(_source(domain) for domain in domains), SETTLE_SECONDS)
    sensor.read()
    return sensor


def _source(path: Path) -> Source:
    """The source that a folder or a file names."""
    for names, scale, counts in KINDS:
        for number in ["1"] if path.is_dir() else re.findall(r"\d+", path.name)[:1] or ["1"]:
            own = [name.replace("1", number) for name in names]
            folder = path if path.is_dir() else path.parent
            if (path.is_dir() or path.name in own) and all((folder / name).exists() for name in own):
                most = folder / "max_energy_range_uj"
                wraps_at = read_number(most) * scale if own == ["energy_uj"] and most.exists() else 0.0
                return Source(tuple(folder / name for name in own), scale, counts, wraps_at)
    known = ", ".join(" with ".join(names) for names, _, _ in KINDS)
    raise NoSensor(
        f"--energy-sensor {path}: " + (f"none of {known} is there" if path.exists() else "there is no such file")
    )


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def consumed(sensor: Sensor, act: Callable[[], object], seconds: float, clock: Any = time) -> tuple[float, float, int]:
    """Does something over and over, and reads the sensor every few hundredths of a second.

    Args:
        sensor: The sensor.
        act: What is done, such as a run of a model.
        seconds: For at least so long.
        clock: Has `perf_counter`.

    Returns:
        Joules, the seconds that they took, and how often it was done. The time of reading power is left out.
    """
    counts = any(source.counts for source in sensor.sources)
    joules = taken = 0.0
    times = 0
    before, begun = sensor.read(), clock.perf_counter()
    while taken < seconds:
        now = begun
        while now - begun < CHUNK_SECONDS:
            act()
            times, now = times + 1, clock.perf_counter()
        after = sensor.read()
        joules += sensor.joules(before, after, now - begun)
        taken += now - begun
        before, begun = after, now if counts else clock.perf_counter()
    return joules, taken, times


def measure_energy(
    runs: Sequence[Callable[[], object]], sensor: Sensor, seconds: float, clock: Any = time
) -> list[dict[str, Any]]:
    """Measures the energy of some models in turns, with idle times between them.

    Args:
        runs: Each runs a model once.
        sensor: The sensor.
        seconds: For about so long each model runs, each time.
        clock: Has `perf_counter` and `sleep`.

    Returns:
        Of each model `joules` of a run above idle, once for each of REPEATS, `idle_w` and the number of `runs`.
    """

    def idle() -> float:
        consumed(sensor, rest, sensor.settle_s, clock)
        joules, taken, _ = consumed(sensor, rest, seconds, clock)
        return joules / taken

    def rest() -> None:
        clock.sleep(CHUNK_SECONDS)

    found: list[dict[str, Any]] = [{"joules": [], "idle_w": 0.0, "runs": 0} for _ in runs]
    before_w = idle()
    for _ in range(REPEATS):
        for one, run in zip(found, runs):  # noqa: B905 (strict= is of Python 3.10)
            consumed(sensor, run, sensor.settle_s, clock)
            joules, taken, times = consumed(sensor, run, seconds, clock)
            after_w = idle()
            idle_w = (before_w + after_w) / 2
            one["joules"].append((joules - idle_w * taken) / times)
            one["idle_w"] += idle_w / REPEATS
            one["runs"] += times
            before_w = after_w
    return found


def answer_energy(runs: Sequence[Callable[[], object]], path: str, seconds: float) -> dict[str, Any]:
    """Measures the energy of models, as an answer to the computer that asks for it.

    Args:
        runs: Each runs a model once; empty to ask only for the sensor.
        path: See `open_sensor`.
        seconds: For about so long each model runs, each time.

    Returns:
        `sensor`, its name, and `energies` as `measure_energy` gives them; `refused` where there is no sensor.
    """
    try:
        sensor = open_sensor(path)
        return {"sensor": sensor.name, "energies": measure_energy(runs, sensor, seconds) if runs else []}
    except NoSensor as error:
        return {"refused": str(error)}
