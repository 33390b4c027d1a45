"""Android devices that refuse, name themselves oddly or keep what killed runs left: `adb` is a script."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compress.latency.adb import explain
from compress.latency.targets import close_connections, open_target
from search_spaces.errors import InputError

Script = Callable[[str], None]
# runs what `adb shell` is given on this machine, with the device's folder in place of /data/local/tmp
ADB = """#!/bin/sh
echo "$@" >> {log}
{lines}
case "$1" in
  push) for last; do :; done; shift
    target=$(echo "$last" | sed "s|/data/local/tmp|{root}|")
    while [ $# -gt 1 ]; do cp "$1" "$target"; shift; done;;
  shell) case "$2" in
    *) sh -c "$(echo "$2" | sed "s|/data/local/tmp|{root}|g")";;
  esac;;
esac
"""
BENCHMARK_MODEL = "#!/bin/sh\necho 'count=16 first=900 curr=900 min=900 max=1100 avg=1000 std=50'\n"


@pytest.fixture
def adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Writes the script with some lines of sh that run first."""
    tools, root = tmp_path / "tools", tmp_path / "device"
    tools.mkdir()
    root.mkdir()
    (tmp_path / "benchmark_model").write_text(BENCHMARK_MODEL)
    (tools / "getprop").write_text("#!/bin/sh\nprintf 'Mi \\320\\241\\377\\n'\n")
    (tools / "taskset").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("SLIMLAB_BENCHMARK_MODEL", str(tmp_path / "benchmark_model"))

    def write(lines: str) -> None:
        (tools / "adb").write_text(ADB.format(log=tmp_path / "log", lines=lines, root=root))
        for tool in tools.iterdir():
            tool.chmod(0o755)

    yield write
    close_connections()


def test_properties_that_are_not_utf8_are_read(adb: Script) -> None:
    adb("")
    assert open_target("adb", 1).facts()["device"] == "Mi С\ufffd"


def test_nothing_stays_on_a_device(adb: Script, tmp_path: Path) -> None:
    killed, recent = tmp_path / "device/slimlab-0123456789abcdef", tmp_path / "device/slimlab-fedcba9876543210"
    for folder, days in ((killed, 3), (recent, 0)):
        folder.mkdir()
        (folder / "benchmark_model").write_text("")
        then = folder.stat().st_mtime - days * 86400
        os.utime(folder, (then, then))
    adb("")
    assert open_target("adb", 1).measure_once([b"model"], 0.0)[0].raw_ms == 1.0
    assert not killed.exists()
    assert len(list((tmp_path / "device").iterdir())) == 2  # the recent one may belong to a run in progress
    close_connections()
    assert list((tmp_path / "device").iterdir()) == [recent]


def test_nothing_stays_on_a_device_that_cannot_take_the_binary(adb: Script, tmp_path: Path) -> None:
    adb('[ "$1" = push ] && { echo "adb: error: failed to copy: No space left on device" >&2; exit 1; }')
    with pytest.raises(InputError, match=r"No space left on device \(free some space"):
        open_target("adb", 1).facts()
    assert not list((tmp_path / "device").iterdir())


UNAUTHORIZED = """* daemon not running; starting now at tcp:5037
* daemon started successfully
adb: device unauthorized.
This adb server's $ADB_VENDOR_KEYS is not set
Otherwise check for a confirmation dialog on your device."""


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (UNAUTHORIZED, "adb: device unauthorized. (unlock the device and accept its dialog"),
        ("adb: more than one device/emulator", "(name one of those that `adb devices` lists: --target adb:SERIAL)"),
        ("adb: device offline", "(plug the device in again"),
        ("adb: no devices/emulators found", "(plug the device in and allow USB debugging"),
        ("adb: device 'R58' not found", "(`adb devices` lists what is connected)"),
        ("a line of a future version", "a line of a future version; `adb devices` lists what is connected"),
        ("", "adb failed; `adb devices` lists what is connected"),
    ],
)
def test_a_refusal_says_what_to_do(adb: Script, tmp_path: Path, printed: str, said: str) -> None:
    assert said in explain(printed)
    (tmp_path / "printed").write_text(printed)
    adb(f"cat {tmp_path}/printed >&2; exit 1")
    with pytest.raises(InputError, match=re.escape(said)):
        open_target("adb", 1).facts()


def test_more_threads_than_the_device_has_cores(adb: Script) -> None:
    adb("")
    with pytest.raises(InputError, match=r"--threads 4000: adb has \d+$"):
        open_target("adb", 4000).measure_once([b"model"], 0.0)
