"""What every command does alike: bad input is one line on stderr and exit code 2, a budget nobody meets 3.

Only a data set with wrong files takes more lines: one for each of them."""

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from search_spaces.errors import BudgetError, DataError, InputError


class Parser(argparse.ArgumentParser):
    """argparse with a one-line error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help lists the flags\n")


def parser(doc: str | None, command: str) -> Parser:
    return Parser(prog=f"python -m {command}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def run_command(main: Callable[[], None]) -> NoReturn:
    """Runs a command's `main` and exits with its code."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        main()
    except BudgetError as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    except DataError as error:
        print("\n".join(error.lines), file=sys.stderr)
        sys.exit(2)
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume goes on from here", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
