"""LabelMe's annotations: a .json file beside each image (https://labelme.io)."""

from pathlib import Path

from compress.data.annotations import ALL, Annotated, Annotations, class_indices, drawn_listing
from compress.data.faults import data_error
from compress.data.labelme_file import LabelMeFile, read_labelme
from compress.data.left_out import LeftOut
from compress.data.pairs import Listing, read_list
from compress.data.threads import map_in_threads
from compress.data.trees import image_files
from search_spaces.errors import InputError

HEAD = 65536  # bytes of a file that show whether it is LabelMe's
KEY = b'"shapes"'
SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation")}
CLASS_LISTS = ("labels.txt", "classes.txt")


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    for path in (*sorted(root.glob("*.json"))[:3], *sorted(root.glob("*/*.json"))[:3]):
        if path.is_file():
            with path.open("rb") as file:
                if KEY in file.read(HEAD):
                    return f"{path.relative_to(root)}, a file of LabelMe"
    return ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists the images that have a .json file of LabelMe. Their masks are drawn.

    The splits are the folders `DIR/train` and `DIR/val`; without them all files are one set.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder DIR.
        seed: Draws the validation split where there are no folders for it.

    Returns:
        The pairs of both splits. The classes are `background` and the names in labels.txt; without that file the names
        in the annotations, in order of the alphabet.

    Raises:
        InputError: There are no annotations, or the classes are wrong.
        DataError: Single files are wrong.
    """
    folders = {
        split: next((root / name for name in names if (root / name).is_dir()), None)
        for split, names in SPLIT_FOLDERS.items()
    }
    splits = {split: folder for split, folder in folders.items() if folder is not None}
    if len(splits) < len(SPLIT_FOLDERS):
        splits = {ALL: root}
    files = {split: image_files(folder, (".json",)) for split, folder in splits.items()}
    for split, found in files.items():
        if not found:
            raise InputError(f"--data {spec}: {splits[split]} has no .json file of LabelMe; save one for each image")
    images = [path for folder in splits.values() for path in image_files(folder)]
    lists = [root / name for name in CLASS_LISTS if (root / name).is_file()]
    sources = [*lists, *(path for found in files.values() for path in found), *images]
    return drawn_listing(spec, root, seed, sources, lambda: _read(files, images, lists, root, spec))


def _read(files: dict[str, list[Path]], images: list[Path], lists: list[Path], root: Path, spec: str) -> Annotations:
    """Raises InputError and DataError."""
    read: dict[str, list[LabelMeFile]] = {}
    faults: list[InputError] = []
    for split, paths in files.items():
        found = list(map_in_threads(_read_or_error, paths, "annotations"))
        faults += [one for one in found if isinstance(one, InputError)]
        read[split] = [one for one in found if isinstance(one, LabelMeFile)]
    if faults:
        raise data_error(faults, spec)
    every = [one for found in read.values() for one in found]
    given = read_list(lists[0], spec) if lists else sorted({label for one in every for label in one.labels})
    names, index = class_indices(given, lists[0] if lists else root)
    annotated = {split: [Annotated(one.image, one.regions_of(index)) for one in found] for split, found in read.items()}
    used = {one.image for one in every}
    unused = tuple(image for image in images if image not in used)
    left_out = (LeftOut("images without a .json of LabelMe", unused),) if unused else ()
    lines = sum(one.without_area for one in every)
    notes = (f"{lines:,} points and lines have no area and are left out",) if lines else ()
    return Annotations(names, annotated, left_out, notes)


def _read_or_error(path: Path) -> LabelMeFile | InputError:
    try:
        return read_labelme(path)
    except InputError as error:
        return error
