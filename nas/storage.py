"""python -m nas.storage serve URL: Optuna's gRPC proxy, for machines that may not reach the database themselves.

URL is what `nas.search --storage` takes:

sqlite:///FILE                         one machine (the default: study.db in the run folder)
journal:FILE                           a file on a disk that every machine mounts
postgresql://USER:PASSWORD@HOST/NAME   a database server (extra: slimlab[postgres])
grpc://HOST:PORT                       a proxy started by this command (extra: slimlab[grpc])
"""

import argparse

from compress.stages.cli import Command, run_command
from nas.storage_url import check_storage_url, expand_storage, redacted

PORT = 13000


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        arguments: The command's parser.
    """
    arguments.add_argument("verb", choices=["serve"])
    arguments.add_argument("url", metavar="URL", help="the storage behind the proxy")
    arguments.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)"
    )
    arguments.add_argument("--port", type=int, default=PORT, help=f"port to listen on (default: {PORT})")


def run(given: argparse.Namespace) -> None:
    """Serves a storage until Ctrl-C.

    Args:
        given: The flags.
    """
    url = expand_storage(given.url)
    check_storage_url(url)

    import optuna

    from nas.storages import open_storage

    storage = open_storage(url)
    print(f"serving {redacted(given.url)} as grpc://{given.host}:{given.port}; Ctrl-C ends it", flush=True)
    optuna.storages.run_grpc_proxy_server(storage, host=given.host, port=given.port)


COMMAND = Command("nas.storage", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
