"""Targets that are not this process: a real OpenSSH server, and Debian's adb against a scripted daemon."""

import contextlib
import getpass
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from adb_daemon import Daemon
from studies import free_port

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


class Connections(socketserver.ThreadingTCPServer):
    """Hands each connection to an OpenSSH server of its own. The port is bound once and never closed in between."""

    daemon_threads = True

    def __init__(self, settings: Path) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.settings = settings

    def finish_request(self, request: Any, client_address: Any) -> None:
        asked = [str(SSHD), "-i", "-f", str(self.settings)]
        subprocess.run(asked, stdin=request, stdout=request, stderr=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def sshd(folder: Path, greeting: str = "") -> Iterator[str]:
    """OpenSSH on loopback with throw-away keys; yields USER@HOST:PORT.

    Each program that it runs adds its process id to `folder / "pids"` and makes temporary files in `folder / "temp"`.
    The lines of `greeting` are sh and run before every program.
    """
    if not SSHD or not shutil.which("ssh"):
        pytest.skip("needs openssh-server and openssh-client")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "temp").mkdir()
    # a login shell's profile may put another python3 first
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    settings = folder / "sshd_config"
    settings.write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\nStrictModes no\n"
        "PasswordAuthentication no\nUsePAM no\n"
        f"ForceCommand {greeting}echo $$ >> {folder}/pids; "
        f'exec env PATH={path} TMPDIR={folder}/temp sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    # a user's own ~/.ssh/config would name the key; the test must not touch that file
    config = folder / "ssh_config"
    config.write_text(f"IdentityFile {folder}/user\nStrictHostKeyChecking no\nUserKnownHostsFile {folder}/known\n")
    wrapper = folder / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with Connections(settings) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{getpass.getuser()}@127.0.0.1:{server.server_address[1]}"
        close_connections()
        server.shutdown()


@pytest.fixture
def ssh_server(tmp_path: Path) -> Iterator[str]:
    with sshd(tmp_path) as destination:
        yield destination


def test_ssh_measures_as_the_host_does(ssh_server: str, tmp_path: Path) -> None:
    board, host = open_target(f"ssh:{ssh_server}", 1), open_target("host", 1)
    assert board.facts()["runtime"] == host.facts()["runtime"]
    small, large = board.measure([model(8), model(512)], seconds=0.1)
    assert 0 < small.ms < large.ms
    assert large.runs >= timing.MIN_RUNS
    assert large.p10_ms <= large.ms <= large.p90_ms
    assert not list((tmp_path / "temp").iterdir())


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


# a microsecond for each byte of the model, after a warm-up that takes longer
BENCHMARK_MODEL = """#!/bin/sh
for flag; do case $flag in --graph=*) size=$(stat -c %s "${flag#--graph=}");; --num_runs=*) runs=${flag#*=};; esac; done
echo "INFO: count=1 curr=9999999 p5=9999999 median=9999999 p95=9999999"
echo "INFO: count=$runs first=$size curr=$size min=$((size - 9)) max=$((size + 9)) avg=$size std=5"
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
    binary.write_text(BENCHMARK_MODEL)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
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
    assert [small.raw_ms, large.raw_ms] == [len(model(8)) / 1e3, len(model(512)) / 1e3]
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


PHONE = [(0, 1800000), (1, 2800000), (2, 1800000), (3, 2300000)]  # cores and their highest frequencies in kHz


@pytest.fixture
def hybrid(device: str, tmp_path: Path) -> str:
    """The device has four cores, whose numbers do not tell which is fast, and a sensor of its temperature."""
    cpus = tmp_path / "sys/devices/system/cpu"
    for number, khz in PHONE:
        (cpus / f"cpu{number}/cpufreq").mkdir(parents=True)
        (cpus / f"cpu{number}/cpufreq/cpuinfo_max_freq").write_text(str(khz))
        (cpus / f"cpu{number}/cpufreq/scaling_cur_freq").write_text(str(khz))
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("41000\n")
    (tmp_path / "tools/taskset").write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/masks\nshift\nexec "$@"\n')
    (tmp_path / "tools/taskset").chmod(0o755)
    (tmp_path / "benchmark_model").write_text(
        "#!/bin/sh\necho 'count=16 first=900 curr=900 min=900 max=1100 avg=1000 std=5'\n"
    )
    return device


@pytest.mark.parametrize(
    ("cores", "threads", "mask"), [("big", 1, "2"), ("big", 2, "a"), ("small", 2, "5"), ("0,3", 1, "8")]
)
def test_adb_pins_to_cores_by_their_own_frequency(
    hybrid: str, tmp_path: Path, cores: str, threads: int, mask: str
) -> None:
    open_target(f"adb:{hybrid}", threads, cores=cores).measure_once([model(8)], 0.0)
    assert set((tmp_path / "masks").read_text().split()) == {mask}


@pytest.mark.parametrize(
    ("cores", "threads", "said"),
    [("big", 5, "--threads 5: adb:.* has 4"), ("small", 3, "--cores small names 2 of"), ("7", 1, "no core 7 to use")],
)
def test_adb_refuses_cores_that_the_device_has_not(hybrid: str, cores: str, threads: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_target(f"adb:{hybrid}", threads, cores=cores).measure_once([model(8)], 0.0)


def test_adb_tells_when_the_clock_falls_and_the_device_warms_up(
    hybrid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phone = open_target(f"adb:{hybrid}", 1)
    phone.measure_once([model(8)], 0.0)
    assert capsys.readouterr().out == ""
    (tmp_path / "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq").write_text("1500000")
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("63000\n")
    phone.measure_once([model(8)], 0.0)
    phone.measure_once([model(8)], 0.0)
    (line,) = capsys.readouterr().out.splitlines()
    assert "the clock fell from 2800 to 1500 MHz and it warmed up from 41 to 63 °C" in line
    assert phone.measured_with() == {
        "used_cores": "1 (2800 MHz)", "clock_mhz": "1500 to 2800", "temperature_c": "41 to 63",
    }  # fmt: skip


def test_adb_measures_many_models_in_one_session(hybrid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = open_target(f"adb:{hybrid}", 1)
    phone.facts()
    real = shutil.which("adb")
    (tmp_path / "tools/adb").write_text(f'#!/bin/sh\necho "$3" >> {tmp_path}/commands\nexec {real} "$@"\n')
    (tmp_path / "tools/adb").chmod(0o755)
    found = phone.measure_once([model(8 * i) for i in range(1, 14)], 0.0)
    assert [latency.relative for latency in found] == [1.0] * 13
    assert (tmp_path / "commands").read_text().split() == ["push", "shell"]
    assert len((tmp_path / "masks").read_text().split()) == 13 + 3 * 4  # the reference stands around every six


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for what another process does; a minute is far more than it takes."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")


KILL = "; import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def killed(statement: str, *arguments: str) -> int:
    """How a process ends that runs a statement and is then killed."""
    return subprocess.run([sys.executable, "-c", f"import sys; {statement}{KILL}", *arguments], check=False).returncode


def test_a_killed_process_leaves_nothing_on_a_device(hybrid: str, tmp_path: Path) -> None:
    opened = "from compress.latency.adb import Device; Device(sys.argv[1])"
    assert killed(opened, hybrid) == -signal.SIGKILL
    wait_until(lambda: not list((tmp_path / "device").iterdir()))


def test_the_binary_is_named_by_a_flag(hybrid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIMLAB_BENCHMARK_MODEL")
    phone = open_target(f"adb:{hybrid}", 1, binary=str(tmp_path / "benchmark_model"))
    assert phone.facts()["runtime"].startswith("benchmark_model ")
    with pytest.raises(InputError, match=r"/nowhere: there is no such file; .*--benchmark-model FILE"):
        open_target(f"adb:{hybrid}", 1, binary="/nowhere").facts()


def test_ssh_refuses_more_threads_than_the_board_has_and_skips_its_greeting(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    with sshd(tmp_path, greeting="echo Welcome; echo; ") as destination:
        board = open_target(f"ssh:{destination}", len(cores) + 1)
        with pytest.raises(InputError, match=f"--threads {len(cores) + 1}: ssh:.* has {len(cores)}"):
            board.measure_once([model(8)], 0.0)
        assert open_target(f"ssh:{destination}", 1).measured_with()["used_cores"].split()[0] == str(max(cores))


def test_a_killed_process_leaves_no_program_on_a_board(ssh_server: str, tmp_path: Path) -> None:
    (tmp_path / "reference").write_bytes(model(8))
    opened = (
        "from pathlib import Path; from compress.latency.ssh import Board; "
        "Board(sys.argv[1], [Path(sys.argv[2]).read_bytes()])"
    )
    assert killed(opened, ssh_server, str(tmp_path / "reference")) == -signal.SIGKILL
    (pid,) = (tmp_path / "pids").read_text().split()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert not list((tmp_path / "temp").iterdir())
