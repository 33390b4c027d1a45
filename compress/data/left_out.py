"""The files in the folders of a data set that are not used: nothing is left out in silence."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

SHOWN = 3  # names
SYSTEM_FILES = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class LeftOut:
    """Files that are not used for one reason.

    Attributes:
        reason: What the files are, such as "masks without an image".
        files: The files.
    """

    reason: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        names = [str(Path(*path.parts[-3:])) for path in self.files[:SHOWN]]
        more = ["..."] if len(self.files) > SHOWN else []
        return f"{self.reason}: {len(self.files):,} ({', '.join(names + more)})"


def is_hidden(path: Path) -> bool:
    """Whether a file is one that a system writes beside the user's, such as `._a.png` of macOS or `Thumbs.db`.

    Args:
        path: The file.

    Returns:
        Whether its name says so.
    """
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES


def left_out_of(folder: Path, endings: tuple[str, ...], used: Collection[Path], reason: str) -> list[LeftOut]:
    """Lists the files of a folder and of its sub-folders that are not used.

    Args:
        folder: The folder.
        endings: The endings of files that are read.
        used: The files that are used.
        reason: What files are that could be read but are not used.

    Returns:
        A group for each reason.
    """
    used = set(used)
    groups: dict[str, list[Path]] = defaultdict(list)
    for where, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(where, name) for name in sorted(names)):
            if path in used:
                continue
            if is_hidden(path):
                groups["hidden files"].append(path)
            elif path.parent != folder:
                groups["files in sub-folders"].append(path)
            elif not path.name.lower().endswith(endings):
                groups["files of a kind that is not read"].append(path)
            else:
                groups[reason].append(path)
    return [LeftOut(reason, tuple(files)) for reason, files in groups.items()]


def merged(groups: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Puts the groups of several folders together.

    Args:
        groups: The groups; a reason may occur more than once.

    Returns:
        One group for each reason.
    """
    files: dict[str, tuple[Path, ...]] = {}
    for group in groups:
        files[group.reason] = files.get(group.reason, ()) + group.files
    return tuple(LeftOut(reason, paths) for reason, paths in files.items())
