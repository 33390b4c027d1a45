"""Puts a measured table into a page of the docs, in the place of the one before."""

import argparse
import re
from pathlib import Path

from search_spaces.errors import InputError


def add_page_flag(arguments: argparse.ArgumentParser) -> None:
    """Adds the flag --page.

    Args:
        arguments: The parser of a benchmark.
    """
    arguments.add_argument("--page", type=Path, help="also put the table into this page, such as docs/deploy.md")


def write_table(lines: list[str], page: Path | None, mark: str) -> None:
    """Prints a table, and puts it into a page.

    Args:
        lines: The table, in markdown.
        page: The page; None for none.
        mark: The table stands between `<!-- MARK -->` and `<!-- end of MARK -->`.

    Raises:
        InputError: The page is missing, or it has no such marks.
    """
    table = "\n".join(lines)
    print(table)
    if page is None:
        return
    if not page.is_file():
        raise InputError(f"{page} is missing; --page takes a page with the comment <!-- {mark} -->")
    place = re.compile(rf"(<!-- {re.escape(mark)} -->\n).*?(<!-- end of {re.escape(mark)} -->)", re.DOTALL)
    text, count = place.subn(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", page.read_text())
    if count != 1:
        raise InputError(f"{page}: has no <!-- {mark} --> with <!-- end of {mark} --> after it; add these two lines")
    page.write_text(text)
