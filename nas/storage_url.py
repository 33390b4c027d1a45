"""What `--storage URL` may look like. This module imports neither Optuna nor SQLAlchemy, so that flags are checked at
once."""

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from compress.files.home import expand_home
from search_spaces.errors import InputError

STORAGE_VARIABLE = "SLIMLAB_STORAGE"  # a URL may hold a password, and command lines can be read by everybody
FORM_OF_KIND = {
    "sqlite": "sqlite:///FILE",
    "journal": "journal:FILE",
    "postgresql": "postgresql://USER:PASSWORD@HOST/NAME",
    "postgresql+psycopg": "postgresql://USER:PASSWORD@HOST/NAME",
    "grpc": "grpc://HOST:PORT",
}
POSTGRESQL = "postgresql+psycopg"  # with the driver that SlimLab installs
STORAGE_FORMS = ", ".join(dict.fromkeys(FORM_OF_KIND.values()))


def check_storage_url(url: str) -> None:
    """Refuses a storage address that cannot be one. Nothing is opened or connected to.

    Args:
        url: The value of `--storage`.

    Raises:
        InputError: The address has an unknown kind, or lacks its file, host, port or database name. The message is
            one line and holds no password.
    """
    problem = _problem(url)
    if problem:
        form = FORM_OF_KIND.get(url.partition(":")[0], STORAGE_FORMS)
        raise InputError(f"--storage {redacted(url)}: {problem}; give {form}")


def expand_storage(url: str) -> str:
    """Replaces `~` at the beginning of a storage's file by the user's home folder. No shell does it behind `journal:`.

    Args:
        url: The value of `--storage`, well formed or not.

    Returns:
        The address; that of a server is left as it is.
    """
    for kind in ("journal:", "sqlite:///"):
        if url.startswith(kind):
            return kind + expand_home(url.removeprefix(kind))
    return url


def storage_url(given: str | None, path: Path) -> str:
    """Where a run's study lives.

    Args:
        given: The value of `--storage`; None when it was not given.
        path: The run folder.

    Returns:
        The value given, else that of the environment variable SLIMLAB_STORAGE, else SQLite in the run folder.

    Raises:
        InputError: The address cannot be one of a storage.
    """
    url = expand_storage(given or os.environ.get(STORAGE_VARIABLE) or f"sqlite:///{path / 'study.db'}")
    check_storage_url(url)
    return url


def storage_file(url: str) -> Path | None:
    """The file in which a storage keeps its studies.

    Args:
        url: An address that `check_storage_url` accepts.

    Returns:
        The path of a SQLite database or journal; None for a server.
    """
    kind, _, place = url.partition(":")
    if kind == "journal":
        return Path(place)
    if kind == "sqlite":
        return Path(place.removeprefix("///"))
    return None


def redacted(url: str) -> str:
    """An address without its password.

    Args:
        url: The value of `--storage`, well formed or not.

    Returns:
        The address, with `***` in the place of a password. Of an address whose parts are not clear only the kind.
    """
    if "@" not in url:
        return url
    match = re.fullmatch(r"([\w+]+://)([^:/@]*)(:.*)?@([^@]*)", url)
    if not match:
        return url.partition(":")[0]
    return f"{match[1]}{match[2]}{':***' if match[3] else ''}@{match[4]}"


def _problem(url: str) -> str:
    """Why an address cannot be one of a storage; empty for one that can."""
    kind, colon, place = url.partition(":")
    if not colon or kind not in FORM_OF_KIND:
        return "no such kind of storage"
    if any(character in url for character in "\n\r\0"):
        return "a line break or zero byte in the address"
    if kind in ("sqlite", "journal"):
        return _file_problem(kind, place)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "its port is not a number of 1 to 65535"
    socket = kind != "grpc" and "host=" in parts.query  # PostgreSQL on a Unix socket: ?host=/run/postgresql
    if not place.startswith("//") or not (parts.hostname or socket):
        return "the host is missing"
    return _server_problem(kind, parts, port)


def _file_problem(kind: str, place: str) -> str:
    if kind == "sqlite" and not place.startswith("///"):
        return "the file is missing (three slashes, then its path)"
    path = place.removeprefix("///") if kind == "sqlite" else place
    if not path.strip() or path.endswith("/"):
        return "the file is missing"
    if path == ":memory:":
        return "a database in memory is lost with its process"
    if kind == "sqlite" and "?" in path:
        return "a file name with ? cannot stand in an address"
    return "that is a folder" if Path(path).is_dir() else ""


def _server_problem(kind: str, parts: SplitResult, port: int | None) -> str:
    if port == 0:
        return "its port is not a number of 1 to 65535"
    if kind == "grpc":
        if port is None:
            return "the port is missing"
        return "a proxy has neither user nor path" if "@" in parts.netloc or parts.path.strip("/") else ""
    return "" if parts.path.strip("/") else "the name of the database is missing"
