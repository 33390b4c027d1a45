"""COCO's annotations (Lin et al. 2014), as COCO itself, Roboflow, CVAT and Label Studio write them."""

from pathlib import Path

from compress.data.annotations import ALL, Annotations, drawn_listing
from compress.data.coco_file import read_coco
from compress.data.left_out import merged
from compress.data.pairs import Listing
from compress.data.splits import split_of
from compress.data.trees import image_files
from search_spaces.errors import InputError

HEAD = 65536  # bytes of a file that show whether it is COCO's
KEYS = (b'"images"', b'"annotations"', b'"categories"')
PLACES = ("*.json", "train/*.json", "val/*.json", "valid/*.json", "test/*.json")  # without annotations/*.json


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    found = _annotation_files(root)
    return f"{found[0].relative_to(root)}, annotations of COCO's form" if found else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists the images that annotation files name. Their masks are drawn.

    Args:
        spec: The value of `--data`, for messages.
        root: An annotation file, or a folder that holds those of training and validation.
        seed: Draws the validation split of a single file.

    Returns:
        The pairs of both splits, and the classes: `background` and the categories in order of their ids.

    Raises:
        InputError: No annotation file is found, or one cannot be read.
        DataError: Single annotations are wrong.
    """
    if root.is_file():
        files = {ALL: root}
        folder = root.parent.parent if root.parent.name == "annotations" else root.parent
    else:
        files, folder = _files_of_splits(root, spec), root
    sources = [*files.values(), *image_files(folder)]
    return drawn_listing(spec, folder, seed, sources, lambda: _read(files, folder))


def _annotation_files(root: Path) -> list[Path]:
    """The annotation files of a folder. Of COCO's own, those with outlines."""
    found = [path for path in sorted(root.glob("annotations/*.json")) if _is_coco(path)]
    found = found or [path for place in PLACES for path in sorted(root.glob(place)) if _is_coco(path)]
    return [path for path in found if path.name.startswith("instances")] or found


def _is_coco(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and any(key in head for key in KEYS)


def _files_of_splits(root: Path, spec: str) -> dict[str, Path]:
    """The annotation file of each split. Raises InputError where that is not clear."""
    found: dict[str, list[Path]] = {"train": [], "val": [], ALL: []}
    for path in _annotation_files(root):
        split = split_of(path.relative_to(root).as_posix()) or ALL
        if split != "test":
            found[split].append(path)
    files = [path for paths in found.values() for path in paths]
    if not files:
        places = "annotations/instances_train.json, train/_annotations.coco.json or another .json of COCO's form"
        raise InputError(f"--data {spec}: {root} has no annotation file; what is needed: {places}")
    if len(found["train"]) == len(found["val"]) == 1 and not found[ALL]:
        return {"train": found["train"][0], "val": found["val"][0]}
    if len(files) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in files[:4])
        raise InputError(
            f"--data {spec}: {root} has {len(files)} annotation files ({names}); give one, as coco:FILE, or one with "
            "train in its name and one with val"
        )
    return {ALL: files[0]}


def _read(files: dict[str, Path], folder: Path) -> Annotations:
    """Raises InputError for a file that cannot be read, and where the splits have other categories."""
    read = {split: read_coco(path, folder) for split, path in files.items()}
    first, *others = read.values()
    for other in others:
        if other.categories != first.categories:
            raise InputError(f"{other.path}: other categories than in {first.path}; export both splits together")
    used = set.union(*(one.used for one in read.values()))
    names, index = first.classes(used)
    splits = {split: one.annotated(index) for split, one in read.items()}
    notes = tuple(note for one in read.values() for note in one.notes())
    return Annotations(names, splits, merged(group for one in read.values() for group in one.left_out), notes)
