"""Tells in which layout the files of a folder lie."""

from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from compress.data.layouts import LAYOUTS
from compress.data.left_out import is_hidden
from compress.data.pairs import Listing

OWN_LAYOUT = "folder"
MAX_COUNTED = 10_000  # files that are counted for a message
HINTS = {  # of files that are often there instead, by the ends of their names
    "annotations.xml": "annotations.xml is 'CVAT for images'; export the task as 'Segmentation mask 1.1' or 'COCO 1.0'",
    ".zip": "unpack the archive",
    ".xml": "boxes in .xml files are no masks; export outlines, such as COCO",
    ".tfrecord": "TFRecord is not read; export COCO or masks as PNG",
    ".npy": "arrays are not read; save images and masks as PNG or TIFF",
    ".ndjson": "this JSON is not read; export COCO or masks as PNG",
}
NEEDED = "images/ and masks/ with files of the same names, or one of the layouts of docs/data.md"


class Layout(Protocol):
    """What a module of `compress.data.layouts` holds."""

    def list_files(self, spec: str, root: Path, seed: int) -> Listing:
        """Lists the files of a data set.

        Args:
            spec: The value of `--data`, for messages.
            root: The folder or file that it names.
            seed: Draws the split of a data set that has none.

        Returns:
            The files.
        """

    def recognise(self, root: Path) -> str:
        """Says what shows that a folder has the layout.

        Args:
            root: The folder.

        Returns:
            What shows it; nothing for another layout.
        """


def layout_module(name: str) -> Layout:
    """Imports the module of a layout.

    Args:
        name: A name of LAYOUTS.

    Returns:
        The module.
    """
    return cast(Layout, import_module(f"compress.data.layouts.{name}"))


def recognised(root: Path) -> tuple[str, str]:
    """Finds the layout of a folder.

    Args:
        root: The folder.

    Returns:
        The name of the first layout that recognises it and what shows it; two empty texts when none does.
    """
    for name in LAYOUTS:
        if name != OWN_LAYOUT and (shown := layout_module(name).recognise(root)):
            return name, shown
    return "", ""


def describe_folder(root: Path) -> str:
    """Says what a folder without a known layout holds, and what is needed.

    Args:
        root: The folder.

    Returns:
        A part of a message.
    """
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not is_hidden(path))
    files = [path for _, path in zip(range(MAX_COUNTED), _files(root), strict=False)]
    counts = Counter(path.suffix.lower() or "without an ending" for path in files).most_common(3)
    endings = ", ".join(f"{count} {ending}" for ending, count in counts)
    seen = [f"the folders {', '.join(folders[:6])}{', ...' * (len(folders) > 6)}"] if folders else []
    seen += [f"the files {endings}"] if endings else []
    names = [path.name.lower() for path in files]
    hint = next((hint for end, hint in HINTS.items() if any(name.endswith(end) for name in names)), "")
    needed = f"{hint}; what is needed: {NEEDED}" if hint else f"what is needed: {NEEDED}"
    return f"{root} holds {' and '.join(seen) or 'nothing'}; {needed}"


def _files(root: Path) -> Iterator[Path]:
    """The files of a folder, of its sub-folders and of theirs."""
    for pattern in ("*", "*/*", "*/*/*"):
        yield from (path for path in root.glob(pattern) if path.is_file() and not is_hidden(path))
