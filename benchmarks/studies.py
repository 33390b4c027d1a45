"""What tests and benchmarks of studies share: candidates priced by their MACs, and a throw-away PostgreSQL."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compress.latency.table import GROUPS, Calibration, LatencyTable
from search_spaces import costs
from search_spaces.ops import Op

INITDB = shutil.which("initdb") or next(iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))), "")
PLAIN = {**dict.fromkeys(GROUPS, 1.0), "intercept": 0.0}


@dataclass(frozen=True)
class MacsTable(LatencyTable):
    """Ten million MACs take a millisecond."""

    def op_ms(self, op: Op) -> float:
        return costs.op_macs(op) / 1e7


MACS_TABLE = MacsTable({}, {}, PLAIN, {}, Calibration(1.0, 1.0), {})


def free_port() -> int:
    """A port for a server that is started next. No connection takes it meanwhile: they get ports above these."""
    for port in range(20_000 + os.getpid() * 7 % 10_000, 32_000):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("no port from 20000 to 32000 is free")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a cluster on loopback, made by Debian's postgresql in a temporary folder."""
    port, as_user = free_port(), []
    with tempfile.TemporaryDirectory(prefix="slimlab-postgres-") as folder:
        data = Path(folder) / "cluster"
        if os.getuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres")
            as_user = ["runuser", "-u", "postgres", "--"]
        subprocess.run([*as_user, INITDB, "-D", data, "-U", "slimlab", "-A", "trust"], check=True, capture_output=True)
        control = [*as_user, str(Path(INITDB).with_name("pg_ctl")), "-D", str(data), "-w", "-s"]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        subprocess.run([*control, "-l", str(data / "log"), "-o", options, "start"], check=True)
        try:
            yield f"postgresql://slimlab@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True)
