"""python -m nas.worker RUN [--storage URL]: scores candidates of a run's search beside the process that started it.

`python -m nas.search` starts these itself (`--workers`). Where another process already leads the search of a run,
`python -m nas.search` works as a worker too. The run folder must be there: on a disk that the machines share, or
copied.
"""

import argparse

from compress.stages.cli import GOES_ON, Command, run_command
from compress.stages.command import add_run_argument
from compress.stages.config_file import read_config
from nas.storage_url import STORAGE_VARIABLE, storage_url
from search_spaces.errors import InputError


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        arguments: The command's parser.
    """
    add_run_argument(arguments)
    arguments.add_argument(
        "--storage", metavar="URL", help=f"where its study lives (default: ${STORAGE_VARIABLE}, else RUN/study.db)"
    )
    arguments.add_argument("--index", type=int, metavar="N", help="number of this worker on its machine")
    arguments.add_argument(
        "--workers", type=int, default=1, metavar="N", help="workers that share this machine's cores (default: 1)"
    )
    arguments.add_argument(
        "--parent", type=int, metavar="PID", help="end when this process, which started the worker, does"
    )


def run(given: argparse.Namespace) -> None:
    """Scores candidates until the search is over.

    Args:
        given: The flags.

    Raises:
        InputError: The folder is no run, or its search is over.
    """
    path = given.run
    if not path.is_dir():
        raise InputError(f"{path}: there is no such run folder; copy it here or mount the disk it is on")
    if given.workers < 1:
        raise InputError(f"--workers {given.workers}: give a positive number")
    read_config(path)
    url = storage_url(given.storage, path)

    from nas.joining import join

    join(path, url, given.index, given.parent, given.workers)


COMMAND = Command("nas.worker", __doc__, add_arguments, run, GOES_ON)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
