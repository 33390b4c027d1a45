"""What killed processes and bad disks leave of a storage: it opens again, or the command ends with one line."""

import json
import multiprocessing
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from studies import INITDB, postgres

from nas import journal, storages
from nas.journal import LOCK_SUFFIX, cut_half_line
from nas.network_disk import network_file_system
from nas.storages import open_storage, readable
from search_spaces.errors import InputError


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale lock is taken away after a second, the least that Optuna allows."""
    monkeypatch.setattr(journal, "GRACE_SECONDS", 1)


@pytest.mark.parametrize("made_by", ["this version", "an older version"])
@pytest.mark.filterwarnings("ignore:The value of `grace_period` might be too small")
def test_a_lock_left_by_a_killed_process_does_not_block_a_relative_journal(
    made_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: None
) -> None:
    """Older versions made a link to the journal's relative path: it points nowhere, and Optuna waited for ever."""
    monkeypatch.chdir(tmp_path)
    optuna.create_study(study_name="roads", storage=open_storage("journal:runs/roads.log"))
    lock = Path("runs/roads.log" + LOCK_SUFFIX)
    if made_by == "this version":
        lock.touch()
    else:
        lock.symlink_to("runs/roads.log")
        assert not lock.exists()
    study = optuna.load_study(study_name="roads", storage=open_storage("journal:runs/roads.log"))
    study.ask()
    assert not lock.is_symlink() and not lock.exists()


def test_a_half_written_last_line_is_cut_off_and_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Before, the next process appended to it, and no later one could read the file."""
    file = tmp_path / "roads.log"
    study = optuna.create_study(study_name="roads", storage=open_storage(f"journal:{file}"))
    for _ in range(3):
        study.tell(study.ask(), 1.0)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code":4,"worker_id":"ab')
    study = optuna.load_study(study_name="roads", storage=open_storage(f"journal:{file}"))
    study.tell(study.ask(), 2.0)
    assert f"{file}: a killed process had written only a part of the last line; its 28 bytes" in capfd.readouterr().err
    again = optuna.load_study(study_name="roads", storage=open_storage(f"journal:{file}"))
    assert [trial.value for trial in again.get_trials()] == [1.0, 1.0, 1.0, 2.0]
    assert file.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"", b""),
        (b"a", b""),
        (b"a\n", b"a\n"),
        (b"a\nb", b"a\n"),
        (b"a\n" + b"b" * 10_000, b"a\n"),
        (b"\n\n", b"\n\n"),
    ],
)
def test_only_what_follows_the_last_line_break_is_cut_off(content: bytes, left: bytes, tmp_path: Path) -> None:
    file = tmp_path / "j.log"
    file.write_bytes(content)
    assert cut_half_line(file) == len(content) - len(left)
    assert file.read_bytes() == left


def test_a_damaged_line_within_a_journal_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "roads.log"
    optuna.create_study(study_name="roads", storage=open_storage(f"journal:{file}"))
    lines = file.read_text().splitlines()
    rng = random.Random(0)
    for n in range(40):
        at = rng.randrange(len(lines))
        damaged = [*lines, json.dumps({"op_code": rng.choice([4, "x", 99, None]), "worker_id": n})]
        damaged[at] = rng.choice([damaged[at][:-5], damaged[at].replace(":", "", 1), "[]", "null", "\x00" * 9])
        file.write_text("\n".join(damaged) + "\n")
        try:
            open_storage(f"journal:{file}")
        except InputError as error:
            assert f"--storage journal:{file}: a line of the file is damaged" in str(error)
            assert "another --run" in str(error)


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    url = f"sqlite:///{file}"
    study = optuna.create_study(study_name="roads", storage=open_storage(url))
    for _ in range(3):
        study.tell(study.ask(), 1.0)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = file.read_bytes()
    for extra in ("-wal", "-shm"):
        file.with_name(file.name + extra).unlink(missing_ok=True)
    rng = random.Random(0)
    for n in range(20):
        content = bytearray(whole)
        for _ in range(200):
            content[rng.randrange(len(content))] = rng.randrange(256)
        copy = tmp_path / f"{n}.db"
        copy.write_bytes(content if n % 4 else content[: len(content) // 3])
        with pytest.raises(InputError, match=rf"--storage sqlite:///.*{n}.db: cannot be") as refused:
            with readable(f"sqlite:///{copy}", opening=True):
                opened = open_storage(f"sqlite:///{copy}")
                optuna.load_study(study_name="roads", storage=opened).get_trials()
            raise InputError(f"--storage sqlite:///{copy}: cannot be told from a whole one")
        assert len(str(refused.value).splitlines()) == 1


WRITER = """
import sys, optuna
from nas.storages import open_storage
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage=open_storage(sys.argv[1]), study_name="roads", load_if_exists=True)
print("ready", flush=True)
while True:
    trial = study.ask()
    for n in range(10):
        trial.set_user_attr(f"a{n}", n)
    study.tell(trial, 1.0)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The value of `grace_period` might be too small")
def test_a_journal_opens_within_the_grace_period_after_every_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 kills of a process that writes all the time; the file name is relative, as in docs/search.md."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(journal, "GRACE_SECONDS", 5)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    rng, left, ended = random.Random(0), 0, 0
    for _ in range(16):
        command = [sys.executable, "-c", WRITER, "journal:runs/roads.log"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout and writer.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.05, 0.5))
            writer.kill()
        left += Path("runs/roads.log" + LOCK_SUFFIX).exists()
        begun = time.monotonic()
        study = optuna.load_study(study_name="roads", storage=open_storage("journal:runs/roads.log"))
        study.tell(study.ask(), 1.0)
        assert time.monotonic() - begun < 60
        now = len(study.get_trials(states=(TrialState.COMPLETE,)))
        assert now > ended
        ended = now
    print(f"{left} of 16 kills left the lock")


def opened_at(moment: float, url: str, found: "multiprocessing.Queue[str]") -> None:
    while time.time() < moment:
        pass
    try:
        open_storage(url)
        found.put("")
    except BaseException as error:
        found.put(repr(error))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_processes_make_the_tables_at_once(kind: str, tmp_path: Path) -> None:
    def at_once(url: str) -> list[str]:
        context = multiprocessing.get_context("fork")
        found = context.Queue()
        moment = time.time() + 1.0
        workers = [context.Process(target=opened_at, args=(moment, url, found)) for _ in range(8)]
        for worker in workers:
            worker.start()
        return [found.get(timeout=120) for _ in workers]

    if kind == "sqlite":
        for turn in range(4):
            assert at_once(f"sqlite:///{tmp_path}/{turn}.db") == [""] * 8
    elif not INITDB:
        pytest.skip("needs postgresql")
    else:
        with postgres() as url:
            assert at_once(url) == [""] * 8


def test_a_network_disk_is_found_in_the_list_of_mounts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/sdb1 /home/local ext4 rw 0 0\n"
        "//nas/share /mnt/two\\040words cifs rw 0 0\nuser@host: /mnt/ssh fuse.sshfs rw 0 0\nbroken\n"
    )
    for path, kind in (
        ("/data/study.db", None),
        ("/home/me/study.db", "nfs4"),
        ("/home/local/study.db", None),
        ("/homes/study.db", None),
        ("/mnt/two words/runs/study.db", "cifs"),
        ("/mnt/ssh/study.db", "fuse.sshfs"),
    ):
        assert network_file_system(Path(path), mounts) == kind, path
    assert network_file_system(Path("/data"), tmp_path / "none") is None


def test_sqlite_on_a_network_disk_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storages, "network_file_system", lambda path: "nfs4")
    open_storage(f"sqlite:///{tmp_path}/study.db")
    warned = capfd.readouterr().err
    assert f"{tmp_path}/study.db lies on a network disk (nfs4)" in warned and "journal:FILE" in warned


def test_a_journal_is_not_warned_of_on_a_network_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storages, "network_file_system", lambda path: "nfs4")
    open_storage(f"journal:{tmp_path}/study.log")
    assert not capfd.readouterr().err
