"""An Android device reached by adb: TensorFlow Lite's `benchmark_model`, pushed and pinned with taskset.

The binary is not shipped: build it from TensorFlow or take its nightly build for the device's architecture, and name
it in the environment variable SLIMLAB_BENCHMARK_MODEL.
"""

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
TIMEOUT_S = 600
# of the largest cores, which phones number last
SCRIPT = """cd "$(dirname "$0")" || exit 1
chmod 700 benchmark_model
cores=$(grep -c ^processor /proc/cpuinfo)
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
    """What `benchmark_model` says of one model, in ms; the percentiles are a normal distribution's where it prints
    only mean and deviation."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int


class Device:
    """Raises InputError when the device, or the binary, is not there."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.references: list[float] = []
        binary = Path(os.environ.get(BINARY, ""))
        if not binary.is_file():
            raise InputError(f"--target {self._spelling}: set {BINARY} to the benchmark_model binary of the device")
        self.folder = f"/data/local/tmp/slimlab-{token_hex(8)}"
        self.adb("shell", f"mkdir -m 700 {self.folder}")
        self.adb("push", str(binary), f"{self.folder}/benchmark_model")
        self.facts = {
            "runtime": f"benchmark_model {hashlib.sha256(binary.read_bytes()).hexdigest()[:10]} xnnpack",
            "processor": self._property("ro.soc.model") or self._property("ro.board.platform") or "unknown",
            "device": self._property("ro.product.model"),
            "system": f"Android {self._property('ro.build.version.release')}",
        }

    @property
    def _spelling(self) -> str:
        return f"adb:{self.serial}" if self.serial else "adb"

    def _property(self, name: str) -> str:
        return self.adb("shell", f"getprop {name}").strip()

    def adb(self, *arguments: str) -> str:
        """What an adb command prints."""
        which = ["-s", self.serial] if self.serial else []
        try:
            done = subprocess.run(
                ["adb", *which, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"--target {self._spelling}: {error}; is adb installed and the device awake?") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "adb failed").splitlines()[-1]
            raise InputError(f"--target {self._spelling}: {said}; `adb devices` lists what is connected")
        return done.stdout

    def run(self, models: Sequence[bytes], seconds: float, threads: int) -> list[Runs]:
        """Times models one after the other for at least `seconds` each."""
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
            last = (printed.strip().splitlines() or ["nothing"])[-1]
            raise InputError(f"--target {self._spelling}: benchmark_model broke off ({last})")
        return [self._parse(block) for block in blocks]

    def _parse(self, printed: str) -> Runs:
        """The last line of statistics: `count=50 first=.. curr=.. min=.. max=.. avg=.. std=.. [p5=.. median=.. p95=..]`
        in microseconds (tensorflow/core/util/stats_calculator.h)."""
        lines = [line for line in printed.splitlines() if "count=" in line]
        found = dict(re.findall(r"(\w+)=([-+.\deE]+)", lines[-1])) if lines else {}
        mean_us = found.get("avg") or found.get("curr")  # of a single run there is no average
        if mean_us is None:
            last = (printed.strip().splitlines() or ["nothing"])[-1]
            raise InputError(f"--target {self._spelling}: benchmark_model printed no timings ({last})")
        mean = float(mean_us) / 1e3
        spread = 1.2816 * float(found.get("std", 0.0)) / 1e3
        median = float(found["median"]) / 1e3 if "median" in found else mean
        return Runs(median, median - spread, median + spread, int(float(found["count"])))
