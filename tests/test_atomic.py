"""Writing: the old file or the new one, whatever the disk does, and one line that says what it did."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command
from conftest import tiny_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nas.report
from compress.files import atomic
from compress.files.atomic import digest, make_folder, try_lock, write_atomically
from compress.files.records import write_json, write_record
from compress.files.tensors import save_network, save_tensors
from search_spaces.errors import InputError
from search_spaces.network import Network

NETWORK = Network(tiny_of("lraspp"))
WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: write_atomically(path, b"new"),
    "json": lambda path: write_json(path, {"new": 1}),
    "record": lambda path: write_record(path, {"new": 1}),
    "tensors": lambda path: save_tensors({"new": torch.ones(3)}, path),
    "network": lambda path: save_network(NETWORK, path),
}
CALLS = ("fsync", "open", "replace", "close")


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    return WRITERS[request.param]


def failing_at(patch: pytest.MonkeyPatch, call: int, number: int) -> list[int]:
    """Makes the n-th call for the system, of those that writing makes, fail with an error; returns the calls seen."""
    seen: list[int] = []
    for name in CALLS:
        real = getattr(os, name)

        def refused(*arguments: Any, _real: Callable[..., Any] = real, _name: str = name, **named: Any) -> Any:
            seen.append(0)
            if len(seen) == call:
                if _name == "close":
                    _real(*arguments)
                raise OSError(number, os.strerror(number))
            return _real(*arguments, **named)

        patch.setattr(atomic.os, name, refused)
    return seen


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    call=st.integers(1, 6),
    number=st.sampled_from([errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EIO]),
    old=st.booleans(),
)
def test_a_refusal_at_any_call_leaves_the_old_file_and_no_part(
    write: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory, call: int, number: int, old: bool
) -> None:
    path = tmp_path_factory.mktemp("disk") / "file"
    if old:
        path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        seen = failing_at(patch, call, number)
        try:
            write(path)
            failed = False
        except InputError as error:
            failed = True
            assert str(path) in str(error) and len(str(error).splitlines()) == 1
    assert failed == (call <= len(seen)) or number == errno.EACCES  # a folder that may not be opened is not synced
    left = sorted(file.name for file in path.parent.iterdir())
    assert left in (["file"], []) and (left or not old)
    if failed and old and path.read_bytes() != b"old":  # refused after the replacement: the new file is whole
        assert call >= 3


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.integers(1, 12), number=st.sampled_from([errno.ENOSPC, errno.EROFS]))
def test_a_folder_is_whole_or_not_there(tmp_path_factory: pytest.TempPathFactory, call: int, number: int) -> None:
    folder = tmp_path_factory.mktemp("disk") / "made"

    def fill(part: Path) -> None:
        (part / "one").write_bytes(b"1")
        (part / "two").mkdir()
        (part / "two" / "three").write_bytes(b"3")

    with pytest.MonkeyPatch.context() as patch:
        failing_at(patch, call, number)
        try:
            make_folder(folder, fill)
        except InputError as error:
            assert str(folder) in str(error)
    assert [file.name for file in folder.parent.iterdir()] in ([], ["made"])
    assert not folder.exists() or (folder / "two" / "three").read_bytes() == b"3"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB; without the right to mount one the test is left out."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("write_large", [write_atomically, lambda path, content: save_tensors({"x": content}, path)])
def test_a_full_disk_keeps_the_old_file(disk: Path, write_large: Callable[[Path, Any], None]) -> None:
    path = disk / "network.pt"
    path.write_bytes(b"old")
    large = bytes(2**22) if write_large is write_atomically else torch.zeros(2**20)
    with pytest.raises(InputError, match=r"network\.pt cannot be written \(No space left on device\); free some space"):
        write_large(path, large)
    assert [(file.name, file.read_bytes()) for file in disk.iterdir()] == [("network.pt", b"old")]
    path.unlink()
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_read_only_disk_is_one_line(disk: Path, write: Callable[[Path], None]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for path in (disk / "file", disk / "new" / "file"):
        with pytest.raises(InputError, match=r"file cannot be written \(Read-only file system\); choose a folder"):
            write(path)
    with pytest.raises(InputError, match="Read-only"):
        make_folder(disk / "folder", lambda part: None)


def test_a_symbolic_link_stays_a_link(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "elsewhere").mkdir()
    for target in ("elsewhere/there", "elsewhere/not_yet"):
        link = tmp_path / f"to_{Path(target).name}"
        link.symlink_to(target)
        write(link)
        assert link.is_symlink() and (tmp_path / target).is_file()
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["not_yet", "there"]


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "runs").write_bytes(b"a file")
    with pytest.raises(InputError, match="runs/roads/file cannot be written"):
        write(tmp_path / "runs" / "roads" / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder cannot be written \(Is a directory\)"):
        write(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "runs"]


def test_content_and_folder_are_synced_around_the_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a power failure wants it: content, rename, folder."""
    events: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(handle: int) -> None:
        events.append(Path(f"/proc/self/fd/{handle}").resolve().name.split(".")[-1])
        real_sync(handle)

    def replace(*arguments: Any) -> None:
        events.append("replace")
        real_replace(*arguments)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "new" / "deep" / "file", b"content")
    assert events == [tmp_path.name, "new", "part", "replace", "deep"]


def test_an_error_of_the_filling_is_not_taken_for_the_disks(tmp_path: Path) -> None:
    def fill(part: Path) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        make_folder(tmp_path / "made", fill)
    assert not list(tmp_path.iterdir())


def test_a_lock_that_cannot_be_written_and_a_file_that_is_gone_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"), try_lock(tmp_path / "file" / "lock"):
        pass
    with pytest.raises(InputError, match="gone cannot be read"):
        digest(tmp_path / "file", tmp_path / "gone")


def test_a_command_on_a_full_disk_is_one_line_and_goes_on(whole: Path, disk: Path, command: Command) -> None:
    run = disk / "run"
    for file in (path for path in whole.rglob("*") if path.is_file()):
        copy = run / file.relative_to(whole)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.name in ("report.html", "result.json"):
            copy.write_bytes(file.read_bytes())
        else:
            copy.symlink_to(file)
    before = {path.name: path.read_bytes() for path in (run / "report.html", run / "result.json")}
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free))
    code, _, err = command(nas.report.main, run)
    assert (code, err.splitlines()[-1]) == (
        2,
        f"{run}/result.json cannot be written (No space left on device); free some space on that disk and start again",
    )
    assert before == {name: (run / name).read_bytes() for name in before}
    assert not [path for path in disk.rglob("*") if path.name.endswith(".part")]
    filler.unlink()
    assert command(nas.report.main, run)[0] == 0
