"""The folder of the results, and pictures in it."""

import os
from pathlib import Path

from PIL import Image

from search_spaces.errors import InputError


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture as PNG, whole or not at all.

    Args:
        picture: The picture.
        path: The file.

    Raises:
        InputError: The file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        picture.save(part, format="PNG")
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        part.unlink(missing_ok=True)


def make_writable(folder: Path) -> None:
    """Makes a folder for results.

    Args:
        folder: its path.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made ({error.strerror}); choose another folder") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"--out {folder}: cannot be written; choose another folder")
