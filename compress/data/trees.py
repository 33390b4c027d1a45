"""Images in a folder and all its sub-folders, by the paths that annotation files give them."""

import os
from pathlib import Path

from compress.data.formats import IMAGE_ENDINGS
from compress.data.left_out import is_hidden
from compress.data.pairs import same_name
from search_spaces.errors import InputError


def image_files(folder: Path, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[Path]:
    """Lists the images of a folder and of its sub-folders.

    Args:
        folder: The folder.
        endings: The endings of the files.

    Returns:
        The files in order of their paths, without hidden ones.
    """
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(where, name) for name in sorted(names) if name.lower().endswith(endings))
        found.extend(path for path in files if not is_hidden(path))
    return found


def images_by_path(folder: Path) -> dict[str, Path]:
    """Lists the images of a folder and of its sub-folders under their names.

    Args:
        folder: The folder.

    Returns:
        The images under the `path_name` of their paths in the folder, in order of their paths.

    Raises:
        InputError: Two images differ in nothing but the ending.
    """
    found: dict[str, Path] = {}
    for path in image_files(folder):
        other = found.setdefault(path_name(path.relative_to(folder).as_posix()), path)
        if other != path:
            twice = f"a name is there twice, such as {other.name} and {path.name}; keep one file of each name"
            raise InputError(f"{path.parent}: {twice}")
    return found


def path_name(path: str) -> str:
    """The form of a path by which the files of a data set are compared.

    Args:
        path: A path as an annotation file gives it, with either kind of slash.

    Returns:
        The path in NFC, with slashes, without `./` at its beginning and without an ending of IMAGE_ENDINGS.
    """
    plain = same_name(path.replace("\\", "/")).removeprefix("./")
    ending = next((ending for ending in IMAGE_ENDINGS if plain.lower().endswith(ending)), "")
    return plain[: len(plain) - len(ending)]
