"""What every command does alike: flags, exit codes, one line for what goes wrong.

Exit codes: 0 done; 2 bad input; 3 the budget cannot be met; 130 interrupted (Ctrl-C); 143 terminated (SIGTERM). Only a
data set with wrong files takes more lines than one: a line for each of them. A command imports the libraries that do
the work inside its `run`, so that `--help` and the refusal of a bad flag are quick (`tests/test_light_commands.py`).
"""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from compress.stages.disk_errors import disk_error_line
from compress.stages.openmp import choose_waiting
from search_spaces.errors import BudgetError, DataError, InputError

BAD_INPUT, NO_NETWORK, INTERRUPTED, TERMINATED = 2, 3, 130, 143
GOES_ON = "the same command goes on from here"
GOES_ON_WITH_RESUME = "the same command with --resume goes on from here"


class TerminationError(KeyboardInterrupt):
    """SIGTERM arrived. Everything that ends a command on Ctrl-C ends it on this too."""


class Parser(argparse.ArgumentParser):
    """argparse with an error of one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2.

        Args:
            message: What is wrong with the command line.
        """
        self.exit(BAD_INPUT, f"{self.prog}: {message}; --help lists the flags\n")


def parser(doc: str | None, command: str) -> Parser:
    """A parser without flags.

    Args:
        doc: The command's description.
        command: The module that `python -m` starts.

    Returns:
        The parser.
    """
    return Parser(prog=f"python -m {command}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


@dataclass(frozen=True)
class Command:
    """A command, for `python -m MODULE` and for the console script.

    Attributes:
        name: The module that `python -m` starts.
        doc: The description that `--help` prints.
        add_arguments: Adds the flags to a parser.
        run: Does the work that the flags ask for.
        after_interrupt: How an interrupted command goes on; empty where it starts anew.
    """

    name: str
    doc: str | None
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    after_interrupt: str = ""

    def main(self) -> None:
        """Reads the command line and runs the command."""
        arguments = parser(self.doc, self.name)
        self.add_arguments(arguments)
        self.call(arguments.parse_args())

    def call(self, given: argparse.Namespace) -> None:
        """Runs the command.

        Args:
            given: The flags.
        """
        try:
            self.run(given)
        except KeyboardInterrupt as error:
            raise type(error)(self.after_interrupt) from None


def run_command(main: Callable[[], None]) -> NoReturn:
    """Runs a command's `main` and exits with its code.

    Args:
        main: The command.
    """
    choose_waiting()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        with termination_raises():
            main()
    except DataError as error:
        _end("\n".join(error.lines), BAD_INPUT)
    except InputError as error:
        _end(" ".join(str(error).split()), NO_NETWORK if isinstance(error, BudgetError) else BAD_INPUT)
    except KeyboardInterrupt as error:
        terminated = isinstance(error, TerminationError)
        word = "terminated" if terminated else "interrupted"
        _end("; ".join(filter(None, (word, str(error)))), TERMINATED if terminated else INTERRUPTED)
    except Exception as error:
        line = disk_error_line(error)
        if line is None:
            raise
        _end(line, BAD_INPUT)
    sys.exit(0)


def _end(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(code)


@contextmanager
def termination_raises() -> Iterator[None]:
    """Inside, SIGTERM raises TerminationError, so that clean-up runs and child processes are ended.

    It does so once. A second SIGTERM would cut the clean-up short: `make` sends one beside that of its process group.
    """
    owner = os.getpid()

    def on_termination(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked child inherits the handler, not the command
            os._exit(TERMINATED)
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        raise TerminationError

    before = signal.signal(signal.SIGTERM, on_termination)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is on_termination:
            signal.signal(signal.SIGTERM, before)
