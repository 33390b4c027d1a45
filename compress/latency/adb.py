"""An Android device reached by adb: TensorFlow Lite's `benchmark_model`, pushed and pinned with taskset.

The binary is not shipped: build it from TensorFlow or take its nightly build for the device's architecture, and name
it in the environment variable SLIMLAB_BENCHMARK_MODEL.
"""

import contextlib
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from search_spaces.errors import InputError

BINARY = "SLIMLAB_BENCHMARK_MODEL"
TIMEOUT_S, CLOSE_TIMEOUT_S = 600, 20
NAME = "/data/local/tmp/slimlab-"  # begins the folders of this program on a device
LEFTOVER_DAYS = 1  # a folder that no run has touched for longer was left by a killed one
P90_DEVIATIONS = 1.2816  # of a normal distribution: its 90th percentile less its mean, in standard deviations
# what adb says -> what to do
REMEDIES = {
    "unauthorized": "unlock the device and accept its dialog 'Allow USB debugging?'",
    "more than one": "name one of those that `adb devices` lists: --target adb:SERIAL",
    "offline": "plug the device in again, or restart it; `adb devices` shows its state",
    "no devices": "plug the device in and allow USB debugging in its developer options; then `adb devices` lists it",
    "not found": "`adb devices` lists what is connected",
    "no permissions": "this user may not open the USB device: see `adb devices -l`",
    "No space left": "free some space under /data/local/tmp on the device",
}
# the largest cores, which phones number last
SCRIPT = """cd "$(dirname "$0")" || exit 1
chmod 700 benchmark_model
cores=$(grep -c ^processor /proc/cpuinfo)
[ "$cores" -ge {threads} ] || {{ echo "the device has $cores cores, not {threads}"; exit 0; }}
mask=$(printf %x $(( ((1 << {threads}) - 1) << (cores - {threads}) )))
i=0
while [ $i -lt {count} ]; do
  echo "model $i"
  taskset $mask ./benchmark_model --graph=$i.tflite --num_threads={threads} --use_xnnpack=true \
--warmup_runs=3 --warmup_min_secs=0 --num_runs=16 --min_secs={seconds} 2>&1
  i=$((i + 1))
done
rm -f *.tflite
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


class Device:
    """An Android device with the binary in a folder of its own.

    Args:
        serial: As `adb devices` lists it; "" for the only device.

    Raises:
        InputError: The device, or the binary, is not there.
    """

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.references: list[float] = []
        binary = Path(os.environ.get(BINARY, ""))
        if not binary.is_file():
            raise InputError(f"--target {self._name}: set {BINARY} to the benchmark_model binary of the device")
        self.folder = f"{NAME}{token_hex(8)}"
        old = f"find {NAME}* -prune -type d -mtime +{LEFTOVER_DAYS} -exec rm -rf {{}} ';' 2>/dev/null"
        self.adb("shell", f"{old}; mkdir -m 700 {self.folder}")
        try:
            self.adb("push", str(binary), f"{self.folder}/benchmark_model")
            self.facts = {
                "runtime": f"benchmark_model {hashlib.sha256(binary.read_bytes()).hexdigest()[:10]} xnnpack",
                "processor": self._property("ro.soc.model") or self._property("ro.board.platform") or "unknown",
                "device": self._property("ro.product.model"),
                "system": f"Android {self._property('ro.build.version.release')}",
            }
        except BaseException:
            self.close()
            raise

    @property
    def _name(self) -> str:
        return f"adb:{self.serial}" if self.serial else "adb"

    def _property(self, name: str) -> str:
        return self.adb("shell", f"getprop {name}").strip()

    def close(self) -> None:
        """Removes the folder from the device, if it can still be reached."""
        with contextlib.suppress(InputError):
            self.adb("shell", f"rm -rf {self.folder}", timeout_s=CLOSE_TIMEOUT_S)

    def adb(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """Runs an adb command.

        Args:
            *arguments: Those after `adb -s SERIAL`.
            timeout_s: Seconds after which the command is given up.

        Returns:
            What it prints. Bytes that are not UTF-8 are replaced.

        Raises:
            InputError: The command failed.
        """
        which = ["-s", self.serial] if self.serial else []
        try:
            done = subprocess.run(
                ["adb", *which, *arguments], capture_output=True, errors="replace", timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"--target {self._name}: {error}; is adb installed and the device awake?") from error
        if done.returncode:
            raise InputError(f"--target {self._name}: {explain(done.stderr.strip() or done.stdout.strip())}")
        return done.stdout

    def run(self, models: Sequence[bytes], seconds: float, threads: int) -> list[Runs]:
        """Times models one after the other.

        Args:
            models: The content of .tflite files.
            seconds: For at least so long each model runs.
            threads: Threads of the runtime.

        Returns:
            The runs of each model.

        Raises:
            InputError: The device cannot be reached, or `benchmark_model` failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{i}.tflite" for i in range(len(models))]
            for file, model in zip(files, models, strict=True):
                file.write_bytes(model)
            script = Path(folder) / "run.sh"
            script.write_text(SCRIPT.format(threads=threads, count=len(models), seconds=f"{seconds:.3f}"))
            self.adb("push", *map(str, files), str(script), self.folder)
        printed = self.adb("shell", f"sh {self.folder}/run.sh")
        blocks = re.split(r"^model \d+\s*$", printed, flags=re.MULTILINE)[1:]
        if len(blocks) != len(models) or not printed.rstrip().endswith("end"):
            raise InputError(f"--target {self._name}: benchmark_model broke off ({_last_line(printed)})")
        return [self._parse(block) for block in blocks]

    def _parse(self, printed: str) -> Runs:
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
            last = _last_line(printed)
            raise InputError(f"--target {self._name}: benchmark_model printed no timings ({last})") from error
        return Runs(median, median - P90_DEVIATIONS * deviation, median + P90_DEVIATIONS * deviation, runs)


def explain(printed: str) -> str:
    """Says what an error of adb means for the user.

    Args:
        printed: What adb wrote, maybe several lines.

    Returns:
        The line that tells the reason, and what to do.
    """
    lines = printed.splitlines() or ["adb failed"]
    for sign, remedy in REMEDIES.items():
        for line in lines:
            if sign in line:
                return f"{line.strip()} ({remedy})"
    return f"{lines[-1].strip()}; `adb devices` lists what is connected"


def _last_line(printed: str) -> str:
    return (printed.strip().splitlines() or ["nothing"])[-1]
