"""A study in a journal file: a log of operations, one JSON line each, that several machines may append to.

Two things that a killed process leaves are mended here. Its lock is taken away after GRACE_SECONDS. A line of which it
wrote only a part is cut off before the next line is appended, for no later process could read past it.
"""

import os
import sys
import time
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from search_spaces.errors import InputError

GRACE_SECONDS = 30  # a lock that does not change for so long belongs to a process that was killed
LOCK_SUFFIX = ".lock"  # Optuna's


class RepairingLock(JournalFileOpenLock):
    """Optuna's lock of a journal file, which repairs the end of the file once it is held.

    The lock is a file of its own. Optuna's default lock is a symbolic link to the journal. A relative link, and on a
    machine that mounts the disk elsewhere an absolute one too, points nowhere, and a stale link that points nowhere is
    waited for without end.

    Args:
        journal: The journal file.
    """

    def __init__(self, journal: str) -> None:
        super().__init__(journal, GRACE_SECONDS)
        self.journal = Path(journal)

    def acquire(self) -> bool:
        """Waits for the lock, then repairs the journal.

        Returns:
            True; the lock is held.
        """
        super().acquire()
        cut = cut_half_line(self.journal)
        if cut:
            print(
                f"{self.journal}: a killed process had written only a part of the last line; its {cut} bytes are cut "
                "off, nothing before them is lost",
                file=sys.stderr,
                flush=True,
            )
        return True


def open_journal(file: str) -> BaseStorage:
    """Opens the studies of a journal file, or makes the file.

    Args:
        file: The journal file. Its folder is made where it is missing.

    Returns:
        The storage.

    Raises:
        InputError: A line of the file is damaged.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    remove_stale_link(Path(file + LOCK_SUFFIX))
    backend = JournalFileBackend(file, RepairingLock(file))
    try:
        return JournalStorage(backend)
    except OSError:
        raise
    except Exception as error:  # Optuna replays the lines unchecked: any error may come of a damaged one
        raise InputError(
            f"--storage journal:{file}: a line of the file is damaged ({type(error).__name__}: {error}); put back a "
            "copy of it, or start the run anew with another file and another --run"
        ) from error


def cut_half_line(journal: Path) -> int:
    """Cuts off what follows the last line break of a file. The caller holds the lock of the journal.

    Args:
        journal: The file.

    Returns:
        How many bytes were cut off; 0 for a whole file or none.
    """
    if not journal.exists():
        return 0
    with journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end, block = size, 4096
        while end > 0:
            start = max(0, end - block)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())
    return size - end


def remove_stale_link(lock: Path) -> None:
    """Removes a lock that a killed process of an older version left: a symbolic link that points nowhere.

    Args:
        lock: The lock. It is removed when it does not change for GRACE_SECONDS.
    """
    begun, seen = time.monotonic(), None
    while lock.is_symlink() and not lock.exists():
        try:
            now = lock.lstat().st_mtime_ns
        except FileNotFoundError:
            return
        if now != seen:
            begun, seen = time.monotonic(), now
        if time.monotonic() - begun > GRACE_SECONDS:
            lock.unlink(missing_ok=True)
            return
        time.sleep(0.1)
