"""Files and folders written whole or not at all, digests of files, and a lock between processes."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from search_spaces.errors import InputError

RUNS = Path("runs")
REMEDIES = {
    errno.ENOSPC: "free some space on that disk and start again",
    errno.EDQUOT: "free some of your disk quota and start again",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.EACCES: "make its folder writable or choose another",
    errno.EPERM: "make its folder writable or choose another",
}
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # file systems and mounts that cannot sync a folder


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turns the system's refusal to write into one line that names the file and the remedy.

    Args:
        path: The file or folder that is being written.

    Raises:
        InputError: For any OSError inside, such as a full disk or a read-only file system.
    """
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "check that path and its disk")
        raise InputError(f"{path} cannot be written ({error.strerror or error}); {remedy}") from error


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder survive a power failure.

    Args:
        folder: The folder whose entries changed.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in NO_FOLDER_SYNC:
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def _make_parents(path: Path) -> None:
    """Makes the folders above `path`, each of them synced into the folder that holds it."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync_folder(folder.parent)


def _part_of(path: Path) -> Path:
    """Where this process writes before `path` is replaced."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Replaces a file as a whole or not at all.

    Args:
        path: The file to replace; its folders are made.
        content: The new bytes.

    Raises:
        InputError: When the system refuses to write, as on a full disk. Then the old file is left as it was.
    """
    with replacing(path) as part:
        part.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replaces a file as a whole or not at all, for those that write files by themselves.

    The part replaces the file when the block ends. It is removed when the block raises. Both the content and the
    folder are synced, so that a power failure leaves the old file or the new one. A symbolic link stays a link: the
    file that it points to is replaced.

    Args:
        path: The file to replace; its folders are made.

    Yields:
        The part to write. It lies in the same folder.

    Raises:
        InputError: When the system refuses to write, as on a full disk. Then the old file is left as it was.
    """
    with write_errors(path):
        target = Path(os.path.realpath(path))
        _make_parents(target)
        part = _part_of(target)
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder as a whole or not at all. A folder that exists is left as it is.

    Args:
        folder: The folder to make.
        fill: Writes the content into the folder it is given.

    Raises:
        InputError: When the system refuses to write, as on a full disk.
    """
    if folder.is_dir():
        return
    with write_errors(folder):
        target = Path(os.path.realpath(folder))
        _make_parents(target)
        part = _part_of(target)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            fill(part)
            _sync_tree(part)
            part.replace(target)
            sync_folder(target.parent)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    """Syncs every file and folder under `folder`."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)


@contextmanager
def try_lock(lock: Path) -> Iterator[bool]:
    """Takes a lock file without waiting. The system frees the lock when the process ends, however it ends.

    Args:
        lock: The lock file; its folders are made.

    Yields:
        Whether this process has the lock.

    Raises:
        InputError: When the lock file cannot be written.
    """
    file_lock = FileLock(lock)
    with write_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            file_lock.acquire(timeout=0)
    try:
        yield file_lock.is_locked
    finally:
        file_lock.release()


def digest(*paths: Path) -> str:
    """Computes a digest of the content of files.

    Args:
        paths: The files, in an order that matters.

    Returns:
        The first 12 hexadecimal digits of the SHA-256 of their bytes put together.

    Raises:
        InputError: When one of them cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        try:
            whole.update(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); run the stage that makes it again") from error
    return whole.hexdigest()[:12]
