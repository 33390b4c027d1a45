"""python -m nas.search --budget-ms 30: from a data set and a latency budget to the best int8 TFLite model within it.

Builds or loads the latency table of the target, lets Optuna choose among the networks that the table says are fast
enough, scores them by what they inherit from the weights they start from, measures and trains the best few, and prunes,
distills, quantizes, exports and verifies the winner. Everything lies in runs/NAME. The same command with --resume goes
on after a kill. While it runs, the same command elsewhere joins its search. `torchrun --nproc-per-node N -m --
nas.search ...` trains the supernet of `--strategy supernet` on N processes.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.data.spec import parse_data
from compress.donors.source import initial_weights_source
from compress.files.atomic import RUNS
from compress.stages.cli import GOES_ON_WITH_RESUME, Command, run_command
from compress.stages.config import GROUPS, RUN, SEARCH, TARGET, RunConfig
from compress.stages.config_file import CONFIG_FILE
from compress.stages.flag_values import expand_path
from compress.stages.flags import add_flags, flag, values_of
from nas.storage_url import STORAGE_FORMS, check_storage_url, expand_storage, redacted, storage_url
from search_spaces.errors import InputError

RESERVED = ("latency", "data", "peers")  # folders of runs/ that are no runs
UNFIT = re.compile(r"""[\x00-\x1f\x7f/\\?#%&*:|<>"']""")
MAX_NAME = 200  # characters of a run folder's name; file systems take 255 with what is added to them


@dataclass(frozen=True)
class SearchFlags:
    """The flags of this command that are not settings of a run.

    Attributes:
        table: A latency table's file; None for the one under runs/latency, which is built where it is missing.
        storage: Where the study lives, with its password; None for $SLIMLAB_STORAGE or study.db in the run folder.
        workers: Processes of this machine that score candidates.
        run: The run folder's name under runs/; None for DATA-BUDGETms.
        resume: Whether a run that is there goes on.
        search_only: Whether the command ends when the winner is chosen.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """

    table: Path | None = flag(
        TARGET, "a latency table's file", None, parse=expand_path, unset="built once under runs/latency",
        metavar="FILE",
    )  # fmt: skip
    storage: str | None = flag(
        SEARCH, f"where the study lives: {STORAGE_FORMS}", None, parse=expand_storage,
        unset="study.db in the run folder", metavar="URL",
    )  # fmt: skip
    workers: int = flag(SEARCH, "processes of this machine that score candidates", 1, type=int, metavar="N")
    run: str | None = flag(RUN, "name of the run folder under runs/", None, unset="DATA-BUDGETms", metavar="NAME")
    resume: bool = flag(RUN, "go on with the run where it stopped", False, action="store_true")
    search_only: bool = flag(RUN, "stop when the winner is chosen", False, action="store_true")

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"--workers {self.workers}: give a positive number")
        if self.run is not None:
            check_run_name(self.run)
        if self.storage is not None:
            check_storage_url(self.storage)

    def path(self, config: RunConfig) -> Path:
        """The run folder.

        Args:
            config: The run's settings.

        Returns:
            `runs/NAME`.
        """
        return RUNS / (self.run or f"{config.data.split(':')[0]}-{config.budget_ms:g}ms")


def check_run_name(name: str) -> None:
    """Refuses a name that is not one folder of its own under runs/.

    Args:
        name: The value of `--run`.

    Raises:
        InputError: The name is a path, begins with a dot or a dash, has characters that a file system or the address
            of a database does not take, is too long, or is that of a folder with another purpose.
    """
    if name != Path(name).name or name[:1] in ("", ".", "-") or UNFIT.search(name) or len(name) > MAX_NAME:
        raise InputError(f"--run {name}: give the name of one folder under {RUNS}/, such as roads-30ms")
    if name in RESERVED:
        raise InputError(f"--run {name}: {RUNS / name} has another purpose; choose another name")


def add_search_flags(arguments: argparse.ArgumentParser, **defaults: object) -> None:
    """Adds the flags of this command.

    Args:
        arguments: The parser.
        defaults: Values that replace the flags' defaults, by name. `data` gets no flag when it is among them.
    """
    without = ("data",) if "data" in defaults else ()
    add_flags(arguments, RunConfig, SearchFlags, defaults=defaults, without=without, groups=GROUPS)


def read_flags(given: argparse.Namespace) -> tuple[RunConfig, SearchFlags]:
    """Checks the flags.

    Args:
        given: The flags by name.

    Returns:
        The run's settings and the command's other flags.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """
    values: dict[str, Any] = vars(given)
    flags = SearchFlags(**values_of(SearchFlags, values))
    config = RunConfig(**values_of(RunConfig, values), storage=redacted(flags.storage or ""))
    if config.npu and flags.table is not None:
        raise InputError(f"--table {flags.table}: --target {config.target} needs no table; leave it out")
    parse_data(config.data)
    if not (flags.path(config) / CONFIG_FILE).exists():
        check_files(config, flags)
    return config, flags


def check_files(config: RunConfig, flags: SearchFlags) -> None:
    """Refuses a new run whose files are not there.

    Args:
        config: The run's settings.
        flags: The command's other flags.

    Raises:
        InputError: The file of `--weights` or `--table` is missing.
    """
    initial_weights_source(config.weights)
    table = flags.table
    if table is not None and not table.is_file():
        raise InputError(f"{table} is missing; build it with python -m nas.latency build --table {table}")


def start(given: argparse.Namespace, folder: Path | None = None) -> None:
    """Does the whole job that the flags ask for.

    Args:
        given: The flags by name.
        folder: The run folder; None for the one that the flags name.
    """
    config, flags = read_flags(given)
    path = folder or flags.path(config)
    url = storage_url(flags.storage, path)

    from nas.job import Job

    job = Job(config, path, url, flags.workers, flags.table, flags.resume, flags.search_only)
    job.start(open_first=flags.storage is not None)


COMMAND = Command("nas.search", __doc__, add_search_flags, start, GOES_ON_WITH_RESUME)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
