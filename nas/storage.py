"""python -m nas.storage serve URL: Optuna's gRPC proxy, for machines that may not reach the database themselves.

Where a study lives is Optuna's business; this turns `--storage` into one of its storages:

sqlite:///FILE                         one machine (the default: study.db in the run folder)
journal:FILE                           a file on a disk that every machine mounts
postgresql://USER:PASSWORD@HOST/NAME   a database server (extra: slimlab[postgres])
grpc://HOST:PORT                       a proxy started by this command (extra: slimlab[grpc])
"""

import re
import sqlite3
import warnings
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError

from compress.stages.cli import parser, run_command
from nas.storage_url import check_storage_url, redacted
from search_spaces.errors import InputError

SQLITE_PATIENCE_S = 120  # how long a worker waits while another one writes
REACH_S = 15  # how long a proxy may take to answer


def open_storage(spelling: str) -> BaseStorage:
    """Raises InputError that names the flag, and never a password, for a storage that cannot be opened."""
    check_storage_url(spelling)
    kind, _, place = spelling.partition(":")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # the gRPC proxy
    try:
        if kind == "journal":
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            return optuna.storages.JournalStorage(JournalFileBackend(place))
        if kind == "grpc":
            return _proxy(place)
        if kind == "sqlite":
            return _sqlite(spelling)
        if kind in ("postgresql", "postgresql+psycopg"):
            url = spelling.replace("postgresql:", "postgresql+psycopg:", 1)
            return optuna.storages.get_storage(RDBStorage(url, engine_kwargs={"pool_pre_ping": True}))
    except ImportError as error:
        extra = "grpc" if kind == "grpc" else "postgres"
        raise InputError(f'--storage {redacted(spelling)}: {error}; pip install "slimlab[{extra}]"') from error
    except (OSError, SQLAlchemyError) as error:
        said = str(error).strip().splitlines()[0]
        raise InputError(f"--storage {redacted(spelling)}: cannot be opened ({said}); check the address") from error
    raise AssertionError(kind)  # check_storage_url knows no other


def _sqlite(url: str) -> BaseStorage:
    """With a write-ahead log: a candidate is some forty small writes, and each would wait for the disk. A process
    that is killed loses nothing; a power cut may lose the last candidates.

    SQLite has no row locks, so Optuna's "look at a trial's state, then change it" would let two workers give the same
    lost candidate back; transactions that take the write lock at once do not
    (docs.sqlalchemy.org/en/20/dialects/sqlite.html, "Serializable isolation").
    """
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": SQLITE_PATIENCE_S}})
    storage.engine.dispose()  # connections opened so far know nothing of this

    @event.listens_for(storage.engine, "connect")
    def _(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(storage.engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return optuna.storages.get_storage(storage)


def _proxy(place: str) -> BaseStorage:
    match = re.fullmatch(r"//([\w.-]+):(\d+)", place)
    if not match:
        raise InputError(f"--storage grpc:{place}: give grpc://HOST:PORT")
    proxy = optuna.storages.GrpcStorageProxy(host=match[1], port=int(match[2]))
    proxy.wait_server_ready(timeout=REACH_S)
    return proxy


def main() -> None:
    arguments = parser(__doc__, "nas.storage")
    arguments.add_argument("verb", choices=["serve"])
    arguments.add_argument("url", metavar="URL", help="the storage behind the proxy")
    arguments.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    arguments.add_argument("--port", type=int, default=13000)
    given = arguments.parse_args()
    storage = open_storage(given.url)
    print(f"serving {redacted(given.url)} as grpc://{given.host}:{given.port}; Ctrl-C ends it", flush=True)
    optuna.storages.run_grpc_proxy_server(storage, host=given.host, port=given.port)


if __name__ == "__main__":
    run_command(main)
