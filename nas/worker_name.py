"""Names of workers. A name says where the process of a worker can be looked up.

A process number means a process only on one machine, in one boot of it, and in one PID namespace: two containers of a
machine may share a host name, and each numbers its processes from 1. So the name has all four. A worker from
elsewhere cannot be looked up; `nas.heartbeat` then goes by its heartbeat alone.
"""

import os
import re
import socket
from functools import cache
from pathlib import Path
from secrets import token_hex


@cache
def process_space() -> str:
    """The boot and the PID namespace in which this process has its number.

    Returns:
        The first digits of the boot id, a dash, and the number of the namespace. Empty where the system (not Linux)
        does not tell them.
    """
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()  # pid:[4026531836]
    except OSError:
        return ""
    return f"{boot_id[:8]}-{''.join(re.findall(r'[0-9]+', namespace.name))}"


def new_worker_name() -> str:
    """Names a worker of this process.

    Returns:
        HOST:PID:TOKEN:SPACE; the token tells apart the workers that one process has had.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}:{process_space()}"


def is_gone(worker: str) -> bool:
    """Looks a worker's process up.

    Args:
        worker: The worker's name. Names of older versions have no SPACE; they are looked up by host and number.

    Returns:
        Whether the process is known to be no more, or was an earlier worker of this process. False where this process
        cannot know.
    """
    host, number, *rest = [*worker.split(":"), ""]
    if host != socket.gethostname() or not number.isdecimal():
        return False
    space = rest[1] if len(rest) > 1 else ""
    if space and space != process_space():
        return False
    if int(number) == os.getpid():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
