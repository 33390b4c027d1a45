"""An Android device reached by adb: TensorFlow Lite's `benchmark_model`, pushed and pinned with taskset.

The binary is not shipped: build it from TensorFlow or take its nightly build for the device's architecture, and name
it by `--benchmark-model` or in the environment variable SLIMLAB_BENCHMARK_MODEL.

A session measures many models: one push, one loop on the device, one read. A second process waits for the end of this
one, however it ends, and then removes what was pushed.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from compress.files.home import expand_home
from compress.latency.adb_session import FACTS, LOOP, NAME, Runs, parse_session, session_facts, sweep
from compress.latency.drift import Drift
from compress.latency.target_names import BINARY
from search_spaces.errors import InputError

START_TIMEOUT_S, CLOSE_TIMEOUT_S = 600, 20
# waits until the process that holds the other end of its input is gone
GUARD = "import subprocess, sys; sys.stdin.read(); subprocess.run(sys.argv[1:], capture_output=True)"
TIMEOUT_FACTOR = 30  # a session may take so many times its seconds, on a slow device with large models
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


class Device:
    """An Android device with the binary in a folder of its own.

    Args:
        serial: As `adb devices` lists it; "" for the only device.
        binary: The path of `benchmark_model`; "" for the one that the environment variable names.

    Raises:
        InputError: The device, or the binary, is not there.
    """

    def __init__(self, serial: str, binary: str = "") -> None:
        self.serial = serial
        self.references: list[float] = []
        self.drift = Drift()
        self.guard: subprocess.Popen[bytes] | None = None
        file = Path(expand_home(binary or os.environ.get(BINARY, "")))
        if not file.is_file():
            missing = f"{file}: there is no such file; " if binary else ""
            raise InputError(
                f"--target {self._name}: {missing}name the device's benchmark_model by --benchmark-model FILE, or set "
                f"{BINARY}"
            )
        self.folder = f"{NAME}{token_hex(8)}"
        self.adb("shell", f"{sweep()}; mkdir -m 700 {self.folder}")
        try:
            self.guard = self._start_guard()
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "run.sh").write_text(LOOP)
                (Path(folder) / "benchmark_model").write_bytes(file.read_bytes())
                self.adb("push", f"{folder}/benchmark_model", f"{folder}/run.sh", self.folder)
            facts, self.cores = session_facts(self.adb("shell", FACTS))
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:10]
            self.facts = {"runtime": f"benchmark_model {digest} xnnpack", **facts}
        except BaseException:
            self.close()
            raise

    @property
    def _name(self) -> str:
        return f"adb:{self.serial}" if self.serial else "adb"

    @property
    def _command(self) -> list[str]:
        return ["adb", "-s", self.serial] if self.serial else ["adb"]

    def _start_guard(self) -> "subprocess.Popen[bytes]":
        """Starts the process that removes the folder when this one ends. Ctrl-C at a terminal does not reach it."""
        command = [sys.executable, "-c", GUARD, *self._command, "shell", f"rm -rf {self.folder}"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)

    def close(self) -> None:
        """Removes the folder from the device, if it can still be reached."""
        with contextlib.suppress(InputError):
            self.adb("shell", f"rm -rf {self.folder}", timeout_s=CLOSE_TIMEOUT_S)
        if self.guard is not None:
            assert self.guard.stdin
            self.guard.kill()
            self.guard.wait()
            self.guard.stdin.close()

    def adb(self, *arguments: str, timeout_s: float = START_TIMEOUT_S) -> str:
        """Runs an adb command.

        Args:
            *arguments: Those after `adb -s SERIAL`.
            timeout_s: Seconds after which the command is given up.

        Returns:
            What it prints. Bytes that are not UTF-8 are replaced.

        Raises:
            InputError: The command failed.
        """
        try:
            done = subprocess.run(
                [*self._command, *arguments], capture_output=True, errors="replace", timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"--target {self._name}: {error}; is adb installed and the device awake?") from error
        if done.returncode:
            raise InputError(f"--target {self._name}: {explain(done.stderr.strip() or done.stdout.strip())}")
        return done.stdout

    def run(self, models: Sequence[bytes], seconds: float, threads: int, cores: Sequence[int]) -> list[Runs]:
        """Times models one after the other, in one session. A line is printed when the device's clock falls or it
        warms up.

        Args:
            models: The content of .tflite files. One may be there more than once.
            seconds: For at least so long each model runs.
            threads: Threads of the runtime.
            cores: The numbers of the cores to run on.

        Returns:
            The runs of each model.

        Raises:
            InputError: The device cannot be reached, or `benchmark_model` failed.
        """
        self.push(models)
        mask = sum(1 << core for core in cores)
        limit = START_TIMEOUT_S + TIMEOUT_FACTOR * max(1.0, seconds) * len(models)
        listed = " ".join(str(core) for core in cores)
        command = f"sh {self.folder}/run.sh {mask:x} {threads} {seconds:.3f} '{listed}'"
        runs, conditions = parse_session(self.adb("shell", command, timeout_s=limit), len(models), self._name)
        for seen in conditions:
            self.drift.tell(seen, self._name)
        return runs

    def push(self, models: Sequence[bytes], script: str = "") -> None:
        """Pushes models, and a list of them.

        Args:
            models: The content of .tflite files. One may be there more than once.
            script: A script to push as energy.sh.

        Raises:
            InputError: The device cannot be reached.
        """
        names = [hashlib.sha256(model).hexdigest()[:16] for model in models]
        with tempfile.TemporaryDirectory() as folder:
            for name, model in dict(zip(names, models, strict=True)).items():
                (Path(folder) / f"{name}.tflite").write_bytes(model)
            (Path(folder) / "models").write_text("".join(f"{name}\n" for name in names))
            if script:
                (Path(folder) / "energy.sh").write_text(script)
            self.adb("push", *(str(file) for file in sorted(Path(folder).iterdir())), self.folder)


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
