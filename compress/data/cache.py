"""What was found in the files of a data set, kept under runs/data so that it is not computed twice."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from compress.files.atomic import RUNS
from compress.files.records import read_json, write_json

Result = TypeVar("Result")


def cached_result(name: str, about: object, files: Iterable[Path], compute: Callable[[], Result]) -> Result:
    """A result that is computed once and read from runs/data afterwards.

    Args:
        name: What the result is, such as `counts`; the name of its file begins with it.
        about: How the files are read. Another value, by its `repr`, has a result of its own.
        files: The files that the result is computed from. It is computed anew when one of them changes.
        compute: Computes the result from plain JSON values.

    Returns:
        The result, from the file or as computed.

    Raises:
        InputError: The file that keeps the result is damaged.
    """
    path = RUNS / "data" / f"{name}-{files_key(files, about)}.json"
    if not path.exists():
        write_json(path, compute())
    found: Result = read_json(path, "delete it")
    return found


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
