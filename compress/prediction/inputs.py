"""The pictures and videos that a user names."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from compress.data.formats import IMAGE_ENDINGS
from compress.prediction.video import is_video
from search_spaces.errors import InputError


def list_inputs(inputs: Sequence[Path]) -> list[Path]:
    """Lists the pictures and videos that the user names.

    Args:
        inputs: files, and folders of which all pictures and videos count.

    Returns:
        The files, those of a folder in the order of their names.

    Raises:
        InputError: there is no such file, a file is neither picture nor video, or a folder holds none.
    """
    endings = ", ".join(IMAGE_ENDINGS)
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = [file for file in sorted(path.iterdir()) if _is_usable(file)]
            if not inside:
                raise InputError(f"{path}: the folder holds no picture ({endings}) and no video; name another one")
            others = sum(not _is_usable(file) for file in path.iterdir())
            if others:
                print(f"{path}: {others} entries are neither pictures nor videos and are left out", file=sys.stderr)
            found += inside
        elif not path.exists():
            raise InputError(f"{path}: there is no such file or folder; check the path")
        elif not _is_usable(path):
            raise InputError(f"{path}: neither a picture ({endings}) nor a video; convert it first")
        else:
            found.append(path)
    return found


def _is_usable(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and (path.name.lower().endswith(IMAGE_ENDINGS) or is_video(path))


def check_names(files: Sequence[Path]) -> None:
    """Checks that every input has a result of its own.

    Args:
        files: The inputs.

    Raises:
        InputError: Two inputs would write one file.
    """
    twice = [stem for stem, count in Counter(file.stem for file in files).items() if count > 1]
    if twice:
        same = ", ".join(str(file) for file in files if file.stem == twice[0])
        raise InputError(f"{same}: the results would have the same name; rename one or run them one by one")
