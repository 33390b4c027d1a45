"""Targets that are not this process: a real OpenSSH server, and Debian's adb against a scripted daemon."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from adb_daemon import Daemon

from compress.latency import timing
from compress.latency.targets import close_connections, open_target
from compress.tflite.writer import random_weight_model
from search_spaces.errors import InputError
from search_spaces.ops import INPUT, Builder

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


def model(channels: int) -> bytes:
    builder = Builder((64, 64))
    builder.shapes[INPUT] = (64, 64, 32)
    builder.conv("a", INPUT, channels)
    return random_weight_model(tuple(builder.ops))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No connection outlives its test."""
    yield
    close_connections()


@pytest.fixture
def ssh_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`sshd -D` on loopback with throw-away keys; yields USER@HOST:PORT."""
    if not SSHD or not shutil.which("ssh"):
        pytest.skip("needs openssh-server and openssh-client")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "sshd_config"
    settings.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        f"PidFile {tmp_path}/pid\nStrictModes no\nPasswordAuthentication no\nUsePAM no\n"
        # a login shell's profile may put another python3 first
        f'ForceCommand PATH={Path(sys.executable).parent}:/usr/bin:/bin sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    # a user's own ~/.ssh/config would name the key; the test must not touch that file
    config = tmp_path / "ssh_config"
    config.write_text(f"IdentityFile {tmp_path}/user\nStrictHostKeyChecking no\nUserKnownHostsFile {tmp_path}/known\n")
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([SSHD, "-D", "-f", settings], stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"{getpass.getuser()}@127.0.0.1:{port}"
        server.terminate()


def test_ssh_measures_as_the_host_does(ssh_server: str) -> None:
    before = set(Path("/tmp").iterdir())
    board, host = open_target(f"ssh:{ssh_server}", 1), open_target("host", 1)
    assert board.facts()["runtime"] == host.facts()["runtime"]
    small, large = board.measure([model(8), model(512)], seconds=0.1)
    assert 0 < small.ms < large.ms
    assert large.runs >= timing.MIN_RUNS
    assert large.p10_ms <= large.ms <= large.p90_ms
    assert not {path for path in set(Path("/tmp").iterdir()) - before if path.name.startswith("slimlab")}


def test_ssh_that_cannot_log_in_is_one_line(ssh_server: str) -> None:
    stranger = "nobody-of-this-name@" + ssh_server.partition("@")[2]
    with pytest.raises(InputError, match=r"Permission denied.*must work without a password"):
        open_target(f"ssh:{stranger}", 1).measure([model(8)])


@pytest.mark.parametrize(
    "spelling", ["ssh:", "ssh:host", "ssh:-oProxyCommand=x@h", "ssh:u@h;ls", "ssh:u@-h", "adb:", "adb:a b", "adb:-s"]
)
def test_other_spellings_are_refused_before_anything_runs(spelling: str) -> None:
    with pytest.raises(InputError, match=r"--target .*: give host, ssh"):
        open_target(spelling, 1)


BENCHMARK_MODEL = """#!{python}
import re, statistics, sys, time
from ai_edge_litert.interpreter import Interpreter
given = dict(a[2:].split("=", 1) for a in sys.argv[1:])
net = Interpreter(model_path=given["graph"], num_threads=int(given["num_threads"]))
net.allocate_tensors()
taken = []
while len(taken) < int(given["num_runs"]):
    begun = time.perf_counter(); net.invoke(); taken.append((time.perf_counter() - begun) * 1e6)
print("INFO: count=1 curr=9999 p5=9999 median=9999 p95=9999")
print(f"INFO: count={{len(taken)}} first={{taken[0]:.0f}} curr={{taken[-1]:.0f}} min={{min(taken):.0f}} "
      f"max={{max(taken):.0f}} avg={{statistics.mean(taken):.4g}} std={{statistics.stdev(taken):.0f}}")
"""


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A scripted daemon that Debian's adb is connected to; yields its serial."""
    if not shutil.which("adb") or not shutil.which("taskset"):
        pytest.skip("needs adb and taskset")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "getprop").write_text('#!/bin/sh\necho "scripted $1"\n')
    (tools / "getprop").chmod(0o755)
    binary = tmp_path / "benchmark_model"
    binary.write_text(BENCHMARK_MODEL.format(python=sys.executable))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("SLIMLAB_BENCHMARK_MODEL", str(binary))
    (tmp_path / "device").mkdir()
    with Daemon(tmp_path / "device") as daemon:
        threading.Thread(target=daemon.serve_forever, daemon=True).start()
        serial = f"127.0.0.1:{daemon.server_address[1]}"
        subprocess.run(["adb", "connect", serial], check=True, capture_output=True, timeout=60)
        yield serial
        close_connections()
        subprocess.run(["adb", "kill-server"], check=False, capture_output=True, timeout=60)
        daemon.shutdown()


def test_adb_pushes_runs_and_reads_benchmark_model(device: str, tmp_path: Path) -> None:
    phone = open_target(f"adb:{device}", 1)
    assert phone.facts()["device"] == "scripted ro.product.model"
    small, large = phone.measure([model(8), model(512)], seconds=0.05)
    assert 0 < small.raw_ms < large.raw_ms
    assert large.runs == 16  # the last line of statistics, not the warm-up's
    assert large.p10_ms <= large.ms <= large.p90_ms
    assert not list((tmp_path / "device").rglob("*.tflite"))
    close_connections()
    assert not list((tmp_path / "device").iterdir())


def test_adb_says_what_is_missing(device: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="adb devices"):
        open_target("adb:127.0.0.1:1", 1).measure([model(8)])
    (tmp_path / "benchmark_model").write_text("#!/bin/sh\necho CANNOT LINK EXECUTABLE\n")
    with pytest.raises(InputError, match=r"no timings .CANNOT LINK"):
        open_target(f"adb:{device}", 1).measure([model(8)])
    close_connections()
    monkeypatch.delenv("SLIMLAB_BENCHMARK_MODEL")
    with pytest.raises(InputError, match="set SLIMLAB_BENCHMARK_MODEL"):
        open_target(f"adb:{device}", 1).measure([model(8)])
