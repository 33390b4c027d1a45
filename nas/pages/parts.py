"""Parts of a page, and how a page is written. A part that cannot be made is a line that says why."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from compress.data.summary import printable
from compress.files.atomic import write_atomically
from nas.pages.svg import css_variables


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Attributes:
        value: What the page shows; None where it cannot be made.
        fault: Why it cannot be made; empty where it was.
    """

    value: Any
    fault: str = ""


def part(name: str, make: Callable[[], Any]) -> Part:
    """Makes a part of the page. A fault goes to stderr and into the page, never further: the job is done.

    Args:
        name: What the part shows.
        make: Gives its value.

    Returns:
        The part.
    """
    try:
        return Part(make())
    except Exception as error:  # whatever is wrong with a side file or an image: the model is there already
        fault = " ".join(str(error).split())[:500] or type(error).__name__
        print(f"report: the {name} cannot be shown: {fault}", file=sys.stderr)
        return Part(None, fault)


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fills a template of this folder and writes the page. Texts are escaped.

    Args:
        path: The page's file.
        template: The file name of the template.
        **values: What the template shows, by name.

    Raises:
        InputError: The page cannot be written, as on a full disk.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    html = jinja2.Environment(autoescape=True, loader=loader).get_template(template)
    page = html.render(themes=css_variables(), **values)
    write_atomically(path, printable(page).encode())  # the names of files need not be UTF-8
