"""Reads and checks the values of flags that several commands have."""

import re
from pathlib import Path

from compress.donors.source import WEIGHTS_NAMES
from compress.files.home import expand_home
from search_spaces.errors import InputError

MIN_SIDE, MAX_SIDE = 64, 4096  # pixels


def parse_input_size(text: str) -> tuple[int, int]:
    """Reads an `--input-size` value.

    Args:
        text: `512` or `HEIGHTxWIDTH`, in pixels.

    Returns:
        Height and width in pixels.

    Raises:
        InputError: the text is neither.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text, re.ASCII)
    if not match:
        raise InputError(f"--input-size {text}: give 512 or HEIGHTxWIDTH, such as 360x480")
    return int(match[1]), int(match[2] or match[1])


def check_input_size(size: tuple[int, int]) -> None:
    """Refuses an input size that is too small or too large.

    Args:
        size: Height and width in pixels.

    Raises:
        InputError: A side is not within MIN_SIDE and MAX_SIDE.
    """
    if min(size) < MIN_SIDE or max(size) > MAX_SIDE:
        raise InputError(f"--input-size {size[0]}x{size[1]}: sides of {MIN_SIDE} to {MAX_SIDE} pixels")


def expand_path(path: str) -> Path:
    """Reads a path. `~` at its beginning stands for the user's home folder.

    Args:
        path: The path as the user typed it.

    Returns:
        The path.
    """
    return Path(expand_home(path))


def expand_weights(value: str) -> str:
    """Reads a `--weights` value.

    Args:
        value: `imagenet`, `none`, the name of a donor, or a path as the user typed it.

    Returns:
        The name, or the whole path.
    """
    return value if value in WEIGHTS_NAMES else str(Path(expand_home(value)))
