"""What was found in the files of a data set, kept under runs/data so that it is not computed twice."""

import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from compress.files.atomic import RUNS
from compress.files.records import CHECKSUM, read_json, read_record, write_record

RESULT = "result"  # its key in the file; files of older versions hold the result alone, without a checksum
REMEDY = "delete it"
# what a parser raises for JSON with other fields; an InputError is a ValueError
DAMAGED = (AttributeError, KeyError, OverflowError, TypeError, ValueError)

Result = TypeVar("Result")


def cached_result(
    name: str, about: object, files: Iterable[Path], compute: Callable[[], object], parse: Callable[[Any], Result]
) -> Result:
    """A result that is computed once and read from runs/data afterwards. A damaged file is computed anew.

    Args:
        name: What the result is, such as `counts`; the name of its file begins with it.
        about: How the files are read. Another value, by its `repr`, has a result of its own.
        files: The files that the result is computed from. It is computed anew when one of them changes.
        compute: Computes the plain JSON values that are kept.
        parse: Turns these values into the result. It raises one of DAMAGED for values that `compute` never gives.

    Returns:
        The result, from the file or as computed.

    Raises:
        InputError: The file that keeps the result cannot be written.
    """
    path = RUNS / "data" / f"{name}-{files_key(files, about)}.json"
    if path.exists():
        try:
            return parse(_read(path))
        except DAMAGED:
            print(f"{path} is damaged; what it keeps is computed anew", file=sys.stderr)
    write_record(path, {RESULT: compute()})
    return parse(_read(path))


def _read(path: Path) -> Any:
    """What a file keeps. Raises one of DAMAGED for a file that is no such file."""
    kept = read_json(path, REMEDY)
    if not isinstance(kept, dict) or not {RESULT, CHECKSUM} & kept.keys():
        return kept
    if CHECKSUM not in kept:
        raise KeyError(CHECKSUM)
    return read_record(path, REMEDY)[RESULT]


def whole_number(value: object, minimum: int = 0) -> int:
    """Checks a number of a file that was kept.

    Args:
        value: A plain JSON value.
        minimum: The least that it may be.

    Returns:
        The value.

    Raises:
        ValueError: It is no whole number, or is less than the minimum.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{value!r} is no whole number from {minimum} on")
    return value


def files_key(files: Iterable[Path], about: object = None) -> str:
    """A key that changes when a file is added, removed, moved or written to.

    Args:
        files: The files; one that is missing counts too. They are not opened.
        about: What else the key depends on, by its `repr`.

    Returns:
        16 hexadecimal digits.
    """
    stats = [(str(path.absolute()), path.stat() if path.exists() else None) for path in files]
    states = [(name, stat.st_size, stat.st_mtime_ns) if stat else name for name, stat in stats]
    return sha256(repr((about, states)).encode()).hexdigest()[:16]
