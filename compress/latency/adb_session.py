"""What runs on an Android device, as scripts of its shell, and what they print (`compress.latency.adb`)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compress.latency.device_facts import name_processor
from search_spaces.errors import InputError

NAME = "/data/local/tmp/slimlab-"  # begins the folders of this program on a device
LEFTOVER_DAYS = 1  # a folder that no run has touched for longer was left by a killed one
P90_DEVIATIONS = 1.2816  # of a normal distribution: its 90th percentile less its mean, in standard deviations
# lines of `name value`; a file that may not be read gives 0
FACTS = """for p in ro.soc.model ro.board.platform ro.product.model ro.build.version.release; do
  echo "$p $(getprop $p)"
done
for d in /sys/devices/system/cpu/cpu[0-9]*; do
  [ "$(cat $d/online 2>/dev/null || echo 1)" = 0 ] && continue
  c=$(cat $d/cpu_capacity 2>/dev/null); f=$(cat $d/cpufreq/cpuinfo_max_freq 2>/dev/null)
  echo "core ${d##*cpu} ${c:-0} ${f:-0}"
done
sed 's/^/cpuinfo /' /proc/cpuinfo
"""
# `run.sh MASK THREADS SECONDS CORES`; the shell of an Android device is mksh, its tools are toybox's
LOOP = """cd "$(dirname "$0")" || exit 1
chmod 700 benchmark_model
i=0
while read -r name <&3; do
  [ -x benchmark_model ] || exit 1
  echo "model $i"
  taskset "$1" ./benchmark_model --graph=$name.tflite --num_threads="$2" --use_xnnpack=true \\
--warmup_runs=3 --warmup_min_secs=0 --num_runs=16 --min_secs="$3" 2>&1 3<&-
  for core in $4; do
    khz=$(cat /sys/devices/system/cpu/cpu$core/cpufreq/scaling_cur_freq 2>/dev/null) && echo "slimlab khz $khz"
  done
  for file in /sys/class/thermal/thermal_zone*/temp; do
    celsius=$(cat $file 2>/dev/null) && echo "slimlab celsius $celsius"
  done
  i=$((i + 1))
done 3<models
rm -f ./*.tflite
echo "end"
"""


@dataclass(frozen=True)
class Runs:
    """What `benchmark_model` prints of one model. The percentiles are those of a normal distribution where it prints
    only mean and deviation.

    Attributes:
        median_ms: Median time of a run.
        p10_ms: 10th percentile.
        p90_ms: 90th percentile.
        runs: Number of runs.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int


def sweep() -> str:
    """The command that removes what was left on a device, such as by one that was unplugged while it measured.

    Returns:
        A command of the device's shell.
    """
    return f"find {NAME}* -prune -type d -mtime +{LEFTOVER_DAYS} -exec rm -rf {{}} ';' 2>/dev/null"


def session_facts(printed: str) -> tuple[dict[str, str], list[list[int]]]:
    """Reads what FACTS printed.

    Args:
        printed: The lines.

    Returns:
        `processor`, `device` and `system`; and the cores as `compress.latency.device_facts.described_cores` gives them.
    """
    lines = [line.rstrip("\r").partition(" ") for line in printed.splitlines()]
    properties = {name: value.strip() for name, _, value in lines if name.startswith("ro.")}
    cores = [
        [*map(int, match.groups()), 0]
        for line in printed.splitlines()
        if (match := re.match(r"core (\d+) (\d+) (\d+)", line))
    ]
    cores.sort()
    cpuinfo = "\n".join(value for name, _, value in lines if name == "cpuinfo")
    chip = properties.get("ro.soc.model") or properties.get("ro.board.platform") or ""
    facts = {
        "processor": chip or name_processor(cpuinfo, "", [khz for _, _, khz, _ in cores if khz]) or "unknown",
        "device": properties.get("ro.product.model", ""),
        "system": f"Android {properties.get('ro.build.version.release', '')}",
        "cores": str(len(cores)),
    }
    return facts, cores


def parse_session(printed: str, count: int, where: str) -> tuple[list[Runs], list[dict[str, list[float]]]]:
    """Reads what LOOP printed.

    Args:
        printed: The output.
        count: Number of models of the session.
        where: The target, for errors.

    Returns:
        The runs of each model; and after each, `khz` and `celsius` as the device told them.

    Raises:
        InputError: The loop did not reach its end, or a model has no timings.
    """
    blocks = re.split(r"^model \d+\s*$", printed, flags=re.MULTILINE)[1:]
    if len(blocks) != count or not printed.rstrip().endswith("end"):
        raise InputError(f"--target {where}: benchmark_model broke off ({_last_line(printed)})")
    return [_runs(block, where) for block in blocks], [_conditions(block) for block in blocks]


def _conditions(printed: str) -> dict[str, list[float]]:
    found: Mapping[str, list[float]] = {"khz": [], "celsius": []}
    for name, value in re.findall(r"^slimlab (khz|celsius) (-?\d+)\s*$", printed, re.MULTILINE):
        found[name].append(float(value))
    return dict(found)


def _runs(printed: str, where: str) -> Runs:
    """Reads the last line of statistics: `count=50 first=.. curr=.. min=.. max=.. avg=.. std=.. [p5=.. median=..
    p95=..]` in microseconds (tensorflow/core/util/stats_calculator.h)."""
    lines = [line for line in printed.splitlines() if "count=" in line]
    found = dict(re.findall(r"(\w+)=([-+.\deE]+)", lines[-1])) if lines else {}
    mean_us = found.get("avg") or found.get("curr")  # of a single run there is no average
    try:
        mean = float(mean_us or "") / 1e3
        deviation = float(found.get("std", 0.0)) / 1e3
        median = float(found["median"]) / 1e3 if "median" in found else mean
        runs = int(float(found["count"]))
    except ValueError as error:
        raise InputError(f"--target {where}: benchmark_model printed no timings ({_last_line(printed)})") from error
    return Runs(median, median - P90_DEVIATIONS * deviation, median + P90_DEVIATIONS * deviation, runs)


def _last_line(printed: str) -> str:
    lines = [line for line in printed.strip().splitlines() if not line.startswith("slimlab ")]
    return (lines or ["nothing"])[-1]


def interleaved(count: int, block: int) -> Iterator[tuple[int, int]]:
    """Divides the models of a session into blocks. The reference runs before, between and after them.

    Args:
        count: Number of models.
        block: Largest number of models of a block.

    Returns:
        The first model of each block, and the one after its last.
    """
    yield from ((at, min(at + block, count)) for at in range(0, count, block))


def in_units_of_reference(
    runs: Sequence[Runs], reference_ms: Sequence[float], block: int
) -> list[tuple[float, float, float]]:
    """Puts runs in units of the reference beside them.

    Args:
        runs: Of each model.
        reference_ms: The time of the reference before each block, and after the last.
        block: Largest number of models of a block.

    Returns:
        Median, 10th and 90th percentile of each model in units of the mean of the references before and after its
        block.
    """
    found = []
    for at, run in enumerate(runs):
        beside = (reference_ms[at // block] + reference_ms[at // block + 1]) / 2
        found.append((run.median_ms / beside, run.p10_ms / beside, run.p90_ms / beside))
    return found
