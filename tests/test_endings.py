"""How commands end: Ctrl-C, SIGTERM, a full disk; what they start does not outlive them."""

import errno
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Command

from compress.stages.disk_errors import disk_error_line
from nas import local_workers

WAITING = """
import signal
import time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
from compress.stages import cli
def run(given):
    print("ready", flush=True)
    time.sleep(60)
cli.run_command(cli.Command("some.command", None, lambda arguments: None, run, {advice!r}).main)
"""


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize(
    ("advice", "more"), [("", ""), ("the same command goes on from here", "; the same command goes on from here")]
)
def test_a_signal_is_one_line(number: int, code: int, word: str, advice: str, more: str) -> None:
    script = WAITING.format(advice=advice)
    with subprocess.Popen(
        [sys.executable, "-c", script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, f"{word}{more}\n")


TIDYING = """
import time
from compress.stages import cli

def run(arguments):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("tidying", flush=True)
        time.sleep(1)
        print("tidy", flush=True)
cli.run_command(cli.Command("some.command", None, lambda arguments: None, run).main)
"""


def test_a_second_sigterm_does_not_cut_the_clean_up_short() -> None:
    """`make` sends one to the command, and whoever ends the process group sends another."""
    with subprocess.Popen(
        [sys.executable, "-c", TIDYING], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "tidying\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (143, "tidy\n", "terminated\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_workers_do_not_outlive_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(local_workers.sys, "executable", str(program))
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*arguments: object, **more: object) -> "subprocess.Popen[bytes]":
        started.append(real(*arguments, **more))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(local_workers.subprocess, "Popen", popen)
    with pytest.raises(error), local_workers.local_workers(tmp_path, "sqlite:///study.db", 3):
        raise error
    assert [process.returncode for process in started] == [-signal.SIGTERM] * 2


def test_a_password_is_in_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho "$SLIMLAB_STORAGE" > {tmp_path}/url\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(local_workers.sys, "executable", str(program))
    with local_workers.local_workers(tmp_path, "postgresql://me:secret@host/name", 2):
        pass
    assert "secret" not in (tmp_path / "arguments").read_text()
    assert (tmp_path / "url").read_text() == "postgresql://me:secret@host/name\n"


def full() -> None:
    Path("/dev/full").write_bytes(b"more than nothing")


def read_only_database() -> None:
    with sqlite3.connect("file:study.db?mode=ro", uri=True) as connection:
        connection.execute("create table trials (number integer)")


def wrapped() -> None:
    try:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "runs/x/config.json")
    except OSError as error:
        raise RuntimeError("a library says something else") from error


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (full, "a file cannot be written (No space left on device); free some space on that disk"),
        (wrapped, "runs/x/config.json cannot be written (Read-only file system); choose a folder on a disk"),
        (read_only_database, "the study's database cannot be written (Read-only file system)"),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line(
    elsewhere: Path, command: Command, fault: Callable[[], None], said: str
) -> None:
    sqlite3.connect("study.db").execute("create table studies (number integer)")
    code, _, err = command(fault)
    assert (code, err.startswith(said), len(err.splitlines())) == (2, True, 1), err


def test_another_error_is_not_taken_for_the_disks() -> None:
    assert disk_error_line(ValueError("a fault of the program")) is None
    assert disk_error_line(FileNotFoundError(errno.ENOENT, "No such file", "nowhere")) is None
