"""One line for a disk that is full or cannot be written, wherever the error comes from."""

import errno
import os
import sqlite3
from collections.abc import Iterator

from compress.files.atomic import REMEDIES

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
SQLITE_ERRORS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}


def disk_error_line(error: BaseException) -> str | None:
    """The line that a command prints when a disk refuses to be written.

    Args:
        error: What was raised.

    Returns:
        A line with the file, the reason and the remedy; None for an error of another kind.
    """
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in DISK_ERRORS:
            file = cause.filename2 or cause.filename or "a file"
            return f"{file} cannot be written ({os.strerror(cause.errno)}); {REMEDIES[cause.errno]}"
        if isinstance(cause, sqlite3.Error):
            number = SQLITE_ERRORS.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
            if number is not None:
                return f"the study's database cannot be written ({os.strerror(number)}); {REMEDIES[number]}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    met: set[int] = set()
    while error is not None and id(error) not in met:
        met.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
