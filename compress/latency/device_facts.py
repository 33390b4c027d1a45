"""What is known of the device on which this file runs.

It imports nothing of the project and runs with Python 3.9: the ssh target sends it to a board.
"""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

CPUS, DEVICE_MODEL = Path("/sys/devices/system/cpu"), Path("/proc/device-tree/model")
THERMAL = Path("/sys/class/thermal")


def facts() -> dict[str, str]:
    """What is known of this device.

    Returns:
        `runtime` and `processor`, for which a latency table must have been made, and what else is good to know.
    """
    found = {"runtime": f"litert {version('ai-edge-litert')} xnnpack", "processor": processor_name()}
    known = {"device": DEVICE_MODEL, "governor": CPUS / "cpu0/cpufreq/scaling_governor"}
    found.update({name: _read(path) for name, path in known.items() if path.is_file()})
    return {**found, "system": platform.platform(), "cores": str(os.cpu_count())}


def described_cores() -> list[list[int]]:
    """Describes the cores that this process may use.

    Returns:
        Of each core: its number, its capacity, its highest frequency in kHz, and its place among the hardware threads
        of one physical core. What is not known is 0.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    described = []
    for number in allowed:
        folder = CPUS / f"cpu{number}"
        siblings = re.findall(r"\d+", _read(folder / "topology/thread_siblings_list"))
        first = not siblings or int(siblings[0]) == number
        files = (folder / "cpu_capacity", folder / "cpufreq/cpuinfo_max_freq")
        described.append([number, *(int(text) if text.isdigit() else 0 for text in map(_read, files)), int(not first)])
    return described


def conditions(cores: Sequence[int]) -> dict[str, list[float]]:
    """Reads clock and temperature.

    Args:
        cores: The numbers of the cores that are in use.

    Returns:
        `khz` of each core, and `celsius` as the sensors give it; empty where this device does not tell.
    """
    clocks = [CPUS / f"cpu{number}/cpufreq/scaling_cur_freq" for number in cores]
    return {"khz": _numbers(clocks), "celsius": _numbers(sorted(THERMAL.glob("thermal_zone*/temp")))}


def _numbers(files: Sequence[Path]) -> list[float]:
    """The numbers in files; those without a whole number are left out."""
    return [float(text) for text in map(_read, files) if text.lstrip("-").isdigit()]


def processor_name() -> str:
    """The name of this machine's processor, by which latency tables are told apart.

    Returns:
        See `name_processor`; what Python knows where /proc/cpuinfo is missing.
    """
    files = sorted(CPUS.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"), key=lambda file: int(file.parts[-3][3:]))
    max_khz = [int(text) for text in map(_read, files) if text.isdigit()]
    known = name_processor(_read(Path("/proc/cpuinfo")), _read(DEVICE_MODEL), max_khz)
    return known or platform.processor() or platform.machine() or "unknown"


def name_processor(cpuinfo: str, device_model: str, max_khz: Sequence[int]) -> str:
    """Names a processor.

    On ARM /proc/cpuinfo has no name, or one that many processors share. So the name is made of the board's model, and
    of the implementer, part and highest frequency of the cores, for example
    `Raspberry Pi 5 Model B Rev 1.0: 4 cores 0x41/0xd0b at 2400 MHz`.

    Args:
        cpuinfo: The content of /proc/cpuinfo.
        device_model: The content of /proc/device-tree/model; "" where there is none.
        max_khz: The highest frequency of each core in kHz; empty where it is not known.

    Returns:
        The name; "" where the files tell none.
    """
    fields = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())]
    implementers = [value for key, value in fields if key == "CPU implementer"]
    if not implementers:
        return next(
            (value for key, value in fields if key.lower().startswith(("model name", "hardware"))), device_model
        )
    parts = [value for key, value in fields if key == "CPU part"]
    every = max_khz if len(max_khz) == len(implementers) else [max(max_khz, default=0)] * len(implementers)
    cores = Counter(zip(implementers, parts, every))  # noqa: B905 (strict= is of Python 3.10)
    kinds = [
        f"{count} cores {implementer}/{part}" + (f" at {khz // 1000} MHz" if khz else "")
        for (implementer, part, khz), count in cores.items()
    ]
    return ": ".join(filter(None, (device_model, " + ".join(kinds))))


def _read(path: Path) -> str:
    """The text of a file; "" where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
