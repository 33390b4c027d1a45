"""How `--target` names a device. Nothing heavy is imported, so that a flag is checked at once."""

import os
import re
from dataclasses import dataclass

from search_spaces.errors import InputError

TARGET_FORMS = "host, ssh:USER@HOST[:PORT] or adb[:SERIAL]"
BINARY = "SLIMLAB_BENCHMARK_MODEL"  # names `benchmark_model` where `--benchmark-model` does not
BINARY_HELP, BINARY_UNSET = "TensorFlow Lite's benchmark_model for the device of --target adb", f"${BINARY}"


@dataclass(frozen=True)
class TargetName:
    """A `--target` in its parts.

    Attributes:
        kind: "host", "ssh" or "adb".
        address: USER@HOST or USER@HOST:PORT of a board, the serial of an Android device, "" for the only one.
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
        InputError: The text has none of the forms. Characters that ssh, adb or a shell treat specially are refused.
    """
    if text == "host":
        return TargetName("host")
    if match := re.fullmatch(r"ssh:([\w.][\w.-]*@[\w.][\w.-]*(?::\d+)?)", text, re.ASCII):
        return TargetName("ssh", match[1])
    if match := re.fullmatch(r"adb(?::([\w.][\w.:-]*))?", text, re.ASCII):
        return TargetName("adb", match[1] or "")
    raise InputError(f"--target {text}: give {TARGET_FORMS}")


def check_threads(name: TargetName, threads: int) -> None:
    """Refuses a number of threads that a target cannot have.

    Args:
        name: The target.
        threads: Threads of the runtime on the target.

    Raises:
        InputError: The number is not positive, or this machine has fewer processors.
    """
    if name.kind == "host" and not 1 <= threads <= (os.cpu_count() or 1):
        raise InputError(f"--threads {threads}: this machine has 1 to {os.cpu_count()}")
    if threads < 1:
        raise InputError(f"--threads {threads}: give a positive number")
