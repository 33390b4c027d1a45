"""Reads a `--data` value. Imports nothing that a command line must wait for."""

from pathlib import Path

from compress.data.layouts import LAYOUTS
from compress.files.home import expand_home
from search_spaces.errors import InputError


def parse_data(spec: str) -> tuple[str, Path]:
    """Turns a `--data` value into the layout and its folder.

    Args:
        spec: A value such as `camvid:DIR`.

    Returns:
        The layout's name and its folder, or its file; the folder is `.` for a layout that has none.

    Raises:
        InputError: The layout is not known, or the folder is not named or not there.
    """
    layout, _, folder = spec.partition(":")
    if layout not in LAYOUTS:
        remedy = f"give folder:{spec}, or another of" if Path(expand_home(spec)).is_dir() else "choose from"
        raise InputError(f"--data {spec}: unknown data set; {remedy} {', '.join(LAYOUTS.values())}")
    if ":" in LAYOUTS[layout] and not folder:
        raise InputError(f"--data {spec}: name the folder, {LAYOUTS[layout]}")
    root = Path(expand_home(folder))
    if "FILE" in LAYOUTS[layout] and root.is_file():
        return layout, root
    if folder and not root.is_dir():
        raise InputError(f"--data {spec}: there is no folder {folder}; check the path")
    return layout, root


def expand_data(spec: str) -> str:
    """Replaces `~` at the beginning of the folder by the user's home folder.

    Args:
        spec: A `--data` value.

    Returns:
        The value with the folder's whole path; another value is left as it is.
    """
    layout, colon, folder = spec.partition(":")
    return f"{layout}:{Path(expand_home(folder))}" if colon and folder.startswith("~") else spec
