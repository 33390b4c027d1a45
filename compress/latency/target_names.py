"""How `--target` names a device. Nothing heavy is imported, so that a flag is checked at once."""

import os
import re
from dataclasses import dataclass

from search_spaces.errors import InputError

TARGET_FORMS = "host, ssh:USER@HOST[:PORT], adb[:SERIAL] or vela:NPU"
BINARY = "SLIMLAB_BENCHMARK_MODEL"  # names `benchmark_model` where `--benchmark-model` does not
BINARY_HELP, BINARY_UNSET = "TensorFlow Lite's benchmark_model for the device of --target adb", f"${BINARY}"
SENSOR_HELP = "sensor of energy: on host and ssh a powercap, hwmon or power_supply path, on adb parts of rails' names"
SENSOR_UNSET = "the device's own"
VELA = "vela"  # the kind of an NPU whose latency a compiler estimates
NPUS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)  # Arm Ethos-U by multiply-accumulates a cycle, as Vela names them


@dataclass(frozen=True)
class TargetName:
    """A `--target` in its parts.

    Attributes:
        kind: "host", "ssh", "adb" or "vela".
        address: USER@HOST or USER@HOST:PORT of a board, the serial of an Android device, "" for the only one; one of
            NPUS.
    """

    kind: str
    address: str = ""


def parse_target(text: str) -> TargetName:
    """Reads a `--target`.

    Args:
        text: For example `ssh:pi@board.local:2222`.

    Returns:
        Its parts.

    Raises:
        InputError: The text has none of the forms, or names an NPU that Vela does not know. Characters that ssh, adb or
            a shell treat specially are refused.
    """
    if text == "host":
        return TargetName("host")
    if match := re.fullmatch(r"ssh:([\w.][\w.-]*@[\w.][\w.-]*(?::\d+)?)", text, re.ASCII):
        return TargetName("ssh", match[1])
    if match := re.fullmatch(r"adb(?::([\w.][\w.:-]*))?", text, re.ASCII):
        return TargetName("adb", match[1] or "")
    kind, _, npu = text.partition(":")
    if kind == VELA:
        if npu not in NPUS:
            raise InputError(f"--target {text}: Vela has no such NPU; choose from {', '.join(NPUS)}")
        return TargetName(VELA, npu)
    raise InputError(f"--target {text}: give {TARGET_FORMS}")


def check_threads(name: TargetName, threads: int) -> None:
    """Refuses a number of threads that a target cannot have.

    Args:
        name: The target.
        threads: Threads of the runtime on the target.

    Raises:
        InputError: The number is not positive, this machine has fewer processors, or the target is an NPU.
    """
    if name.kind == VELA and threads != 1:
        raise InputError(f"--threads {threads}: {name.address} has no threads; leave it out with --target vela")
    if name.kind == "host" and not 1 <= threads <= (os.cpu_count() or 1):
        raise InputError(f"--threads {threads}: this machine has 1 to {os.cpu_count()}")
    if threads < 1:
        raise InputError(f"--threads {threads}: give a positive number")
