"""Opens the storage of a study, which `--storage` names, as one of Optuna's."""

import random
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from nas.journal import open_journal
from nas.network_disk import network_file_system
from nas.private_interfaces import engine_of
from nas.storage_url import POSTGRESQL, check_storage_url, redacted, storage_file
from search_spaces.errors import InputError

SQLITE_PATIENCE_S = 120  # how long a worker waits while another one writes
PROXY_PATIENCE_S = 15  # how long a proxy may take to answer
TABLES_LOCK = 5_107_246_021  # PostgreSQL's number of the lock under which tables are made
STORAGE_ERRORS = (SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError, UnicodeDecodeError)
MAX_TRIES = 20  # to make the tables of a SQLite file that other processes make at the same time


def open_storage(url: str) -> BaseStorage:
    """Opens the storage of a study. What does not exist yet is made: the file, its folder, the tables.

    Args:
        url: The value of `--storage`.

    Returns:
        The storage.

    Raises:
        InputError: The storage cannot be opened. The message names the flag, and never a password.
    """
    check_storage_url(url)
    kind, _, place = url.partition(":")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # the gRPC proxy
    with readable(url, opening=True):
        try:
            if kind == "journal":
                return open_journal(place)
            if kind == "grpc":
                return _proxy(place)
            return _sqlite(url) if kind == "sqlite" else _postgresql(url)
        except ImportError as error:
            extra = "grpc" if kind == "grpc" else "postgres"
            raise InputError(f'--storage {redacted(url)}: {error}; pip install "slimlab[{extra}]"') from error
        except (OSError, SQLAlchemyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"--storage {redacted(url)}: cannot be opened ({reason}); check the address") from error


@contextmanager
def readable(url: str, opening: bool = False) -> Iterator[None]:
    """A context in which a storage that is damaged, or was lost, ends a command with one line.

    Args:
        url: The address of the storage.
        opening: Whether nothing but reading the storage happens in the context. Libraries then raise errors of any
            kind for a damaged one, and all of them are taken for that.

    Yields:
        Nothing.

    Raises:
        InputError: The storage cannot be read or written.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not opening and not isinstance(error, STORAGE_ERRORS):
            raise
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        reason = (str(cause or error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"--storage {redacted(url)}: cannot be read or written ({reason}); give the command with --resume when it "
            "is back. If it is damaged, start the run anew under another --run"
        ) from error


def _sqlite(url: str) -> BaseStorage:
    """With a write-ahead log: a candidate is some forty small writes, and each would wait for the disk. A process
    that is killed loses nothing; a power cut may lose the last candidates.

    SQLite has no row locks, so Optuna's "look at a trial's state, then change it" would let two workers give the same
    lost candidate back; transactions that take the write lock at once do not
    (docs.sqlalchemy.org/en/20/dialects/sqlite.html, "Serializable isolation").
    """
    file = storage_file(url)
    kind = network_file_system(file) if file else None
    if kind:
        print(
            f"warning: {file} lies on a network disk ({kind}), where SQLite may damage it; give --storage journal:FILE",
            file=sys.stderr,
        )
    arguments = {"connect_args": {"timeout": SQLITE_PATIENCE_S}}
    storage = _with_tables(lambda: RDBStorage(url, engine_kwargs=arguments))
    engine = engine_of(storage)
    engine.dispose()  # connections opened so far know nothing of this

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return optuna.storages.get_storage(storage)


def _with_tables(make: Callable[[], RDBStorage]) -> RDBStorage:
    """Makes a storage. Of processes that make the same tables at once one succeeds; the others then find them."""
    for _ in range(MAX_TRIES):
        try:
            return make()
        except SQLAlchemyError as error:
            if not any(word in str(error) for word in ("already exists", "locked", "UNIQUE")):
                raise
            time.sleep(random.uniform(0.05, 0.3))
    return make()


def _postgresql(url: str) -> BaseStorage:
    """A lock of the database is held while the tables are made: of processes that make them at once all but one would
    fail."""
    address = url if url.startswith("postgresql+") else url.replace("postgresql:", f"{POSTGRESQL}:", 1)
    engine = create_engine(address)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({TABLES_LOCK})")  # ends with the connection
            storage = RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
    finally:
        engine.dispose()
    return optuna.storages.get_storage(storage)


def _proxy(place: str) -> BaseStorage:
    host, _, port = place.removeprefix("//").rpartition(":")
    proxy = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    proxy.wait_server_ready(timeout=PROXY_PATIENCE_S)
    return proxy
