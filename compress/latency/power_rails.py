"""The energy of models on an Android device, by its power rails.

Devices with the service IPowerStats print the energy that each rail has passed since the start (`dumpsys`; Pixel 6 and
newer). Each model runs in a short and in a long session of `benchmark_model` between two idle times. What the long one
takes more than the short one is runs alone: starting the process and loading the model are in both.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compress.latency.energy_meter import REPEATS
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from compress.latency.adb import Device

SERVICE = "android.hardware.power.stats.IPowerStats/default"
COMPUTING = ("CPU", "MIF", "DDR", "MEM")  # in the names of the rails of processors and memory
SHORT = 0.25  # the short session in units of the long one
MIN_SECONDS = 2.0  # of the long session: some devices renew the counters but once a second
TIMEOUT_FACTOR = 30
RAILS = f"cat /proc/uptime; dumpsys {SERVICE} 2>/dev/null | sed -n '/energy meter/,/End of/p'; echo end"
# `energy.sh MASK THREADS LONG SHORT`
LOOP = f"""cd "$(dirname "$0")" || exit 1
chmod 700 benchmark_model
rails() {{
  echo "rails"
  {RAILS}
}}
runs() {{
  taskset "$1" ./benchmark_model --graph=$2.tflite --num_threads="$3" --use_xnnpack=true \\
--warmup_runs=1 --warmup_min_secs=0 --num_runs=4 --min_secs="$4" 2>&1 3<&-
}}
while read -r name <&3; do
  [ -x benchmark_model ] || exit 1
  echo "model"
  rails; sleep "$3"; rails; runs "$1" $name "$2" "$4"; rails; runs "$1" $name "$2" "$3"; rails; sleep "$3"; rails
done 3<models
rm -f ./*.tflite
"""
Reading = tuple[float, dict[str, float]]  # seconds, and joules of each rail


def rail_energies(
    device: "Device", models: Sequence[bytes], seconds: float, threads: int, cores: Sequence[int], wanted: str
) -> dict[str, Any]:
    """Measures the energy of models.

    Args:
        device: The device.
        models: The content of .tflite files; empty to ask only for the rails.
        seconds: For about so long each model runs, several times; MIN_SECONDS at least.
        threads: Threads of the runtime.
        cores: The numbers of the cores to run on.
        wanted: Parts of the names of the rails to add, separated by commas; "" for processors and memory.

    Returns:
        See `compress.latency.energy_meter.answer_energy`.

    Raises:
        InputError: The device cannot be reached, or `benchmark_model` failed.
    """
    _, told = parse_rails(device.adb("shell", RAILS))
    rails = [name for name in told if any(part in name for part in wanted.split(",") if part)] if wanted else []
    rails = rails or [name for name in told if not wanted and any(part in name.upper() for part in COMPUTING)]
    if not told:
        return {"refused": f"no sensor of energy: its dumpsys shows no power rails ({SERVICE})"}
    if not rails:
        return {"refused": f"--energy-sensor: name rails of {', '.join(told)}"}
    energies: list[dict[str, Any]] = []
    if models:
        long = max(MIN_SECONDS, seconds)
        device.push([*models] * REPEATS, LOOP)
        command = (
            f"sh {device.folder}/energy.sh {sum(1 << core for core in cores):x} {threads} {long:.3f} {SHORT * long:.3f}"
        )
        limit = TIMEOUT_FACTOR * long * (len(models) * REPEATS + 1)
        blocks = re.split(r"^model\s*$", device.adb("shell", command, timeout_s=limit), flags=re.MULTILINE)[1:]
        if len(blocks) != len(models) * REPEATS:
            raise InputError("--target adb: benchmark_model broke off while energy was measured")
        found = [run_energy(block, rails) for block in blocks]
        for at in range(len(models)):
            own = found[at :: len(models)]
            joules, idle_w, runs = zip(*own, strict=True)
            energies.append({"joules": list(joules), "idle_w": sum(idle_w) / len(own), "runs": sum(runs)})
    return {"sensor": f"power rails {', '.join(rails)}", "energies": energies}


def parse_rails(printed: str) -> Reading:
    """Reads what RAILS printed.

    Args:
        printed: The uptime, then lines such as `[S2M_VDD_CPUCL2]:CPU(BIG)   12.34 mWs`.

    Returns:
        Seconds since the start of the device, and joules of each rail.
    """
    uptime = re.search(r"^\s*(\d+\.\d+) ", printed, re.MULTILINE)
    rails = re.findall(r"^\s*(\S.*?)\s+(\d+(?:\.\d+)?) mWs", printed, re.MULTILINE)
    return float(uptime[1]) if uptime else 0.0, {name: float(mws) / 1e3 for name, mws in rails}


def run_energy(printed: str, rails: Sequence[str]) -> tuple[float, float, int]:
    """Reads what LOOP printed of one model.

    Args:
        printed: The readings before, between and after the sessions.
        rails: The rails to add.

    Returns:
        Joules of a run above idle, the idle power in watts, and the number of runs.

    Raises:
        InputError: A reading or the timings are missing.
    """
    parts = re.split(r"^rails\s*$", printed, flags=re.MULTILINE)[1:]
    readings = [parse_rails(part.partition("end\n")[0]) for part in parts]
    counts = [sum(map(int, re.findall(r"\bcount=(\d+)", part))) for part in parts]
    try:
        sums = [(when, sum(told[name] for name in rails)) for when, told in readings]
        (t0, e0), (t1, e1), (t2, e2), (t3, e3), (t4, e4) = sums
        more = counts[2] - counts[1]
        idle_w = ((e1 - e0) / (t1 - t0) + (e4 - e3) / (t4 - t3)) / 2
        seconds = (t3 - t2) - (t2 - t1)
        return ((e3 - e2) - (e2 - e1) - idle_w * seconds) / more, idle_w, more
    except (KeyError, ValueError, ZeroDivisionError) as error:
        last = (printed.strip().splitlines() or ["nothing"])[-1]
        raise InputError(f"--target adb: no energies were printed ({last})") from error
