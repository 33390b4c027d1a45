"""Ultralytics' segment labels (YOLO): a .txt file with outlines for each image, classes in a .yaml file."""

from functools import partial
from pathlib import Path

from compress.data.annotations import ALL, Annotated, Annotations, class_indices, drawn_listing
from compress.data.faults import data_error
from compress.data.formats import IMAGE_ENDINGS
from compress.data.left_out import LeftOut
from compress.data.pairs import Listing, read_list
from compress.data.threads import map_in_threads
from compress.data.trees import image_files
from compress.data.yolo_files import LabelFile, YamlFile, label_file, read_labels, read_yaml
from search_spaces.errors import InputError

SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
NAME_LISTS = ("classes.txt", "obj.names")


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    for folder in (root / "labels", root / "labels" / "train", root / "train" / "labels"):
        label = next(folder.glob("*.txt"), None) if folder.is_dir() else None
        if label is not None and (root / folder.relative_to(root).as_posix().replace("labels", "images")).is_dir():
            return f"{folder.relative_to(root)}/*.txt beside images, labels of YOLO"
    return ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists images whose labels are .txt files. Their masks are drawn.

    The splits are those of the .yaml file, or the folders `DIR/{train,val}/images` or `DIR/images/{train,val}`. Without
    them all images are one set.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder DIR.
        seed: Draws the validation split where there is none.

    Returns:
        The pairs of both splits. The classes are `background` and the names of the .yaml file or of classes.txt.

    Raises:
        InputError: There are no images, or the .yaml file cannot be read.
        DataError: Files of labels are wrong.
    """
    described = read_yaml(root)
    given = _given_splits(root, described, spec)
    folders = _split_folders(root)
    images = given or {split: image_files(folder) for split, folder in folders.items()}
    for split, found in images.items():
        if not found:
            raise InputError(f"--data {spec}: no images are found for the split {split} below {root}")
    labels = {image: label_file(image) for found in images.values() for image in found}
    lists = [root / name for name in NAME_LISTS if (root / name).is_file()]
    own = [path for path in (described.path, *lists) if path is not None]
    sources = [*own, *labels, *labels.values()]
    return drawn_listing(spec, root, seed, sources, lambda: _read(images, labels, described, lists, root, spec))


def _split_folders(root: Path) -> dict[str, Path]:
    found = {
        split: next(
            (at for name in names for at in (root / name / "images", root / "images" / name) if at.is_dir()), None
        )
        for split, names in SPLIT_NAMES.items()
    }
    whole = {split: folder for split, folder in found.items() if folder is not None}
    if len(whole) == len(SPLIT_NAMES):
        return whole
    return {ALL: whole.get("train", root / "images" if (root / "images").is_dir() else root)}


def _given_splits(root: Path, described: YamlFile, spec: str) -> dict[str, list[Path]]:
    """The images that the .yaml file names for both splits; nothing where it does not, or where they are not there."""
    splits = {"train": described.train, "val": described.val}
    images = {
        split: [path for text in texts for path in _images_at(root, text, spec)] for split, texts in splits.items()
    }
    return images if all(images.values()) else {}


def _images_at(root: Path, text: str, spec: str) -> list[Path]:
    """The images of a folder or of a list of images."""
    place = _inside(root, text)
    if place is None:
        return []
    if place.is_dir():
        return image_files(place)
    if place.suffix == ".txt":
        found = [_inside(root, line) for line in read_list(place, spec)]
        return [path for path in found if path is not None and path.name.lower().endswith(IMAGE_ENDINGS)]
    return []


def _inside(root: Path, text: str) -> Path | None:
    """A path in the folder of the data set. Files that were written elsewhere name it from another folder, such as
    `../train/images` or `/content/data/train/images`."""
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        place = root.joinpath(*parts[start:])
        if (len(parts) - start >= min(2, len(parts)) or place.suffix == ".txt") and _exists(place):
            return place
    return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return False


def _read(
    images: dict[str, list[Path]],
    labels: dict[Path, Path],
    described: YamlFile,
    lists: list[Path],
    root: Path,
    spec: str,
) -> Annotations:
    """Raises InputError and DataError."""
    found = list(map_in_threads(_read_or_error, [*labels.values()], "labels"))
    faults = [one for one in found if isinstance(one, InputError)]
    if faults:
        raise data_error(faults, spec)
    read = {image: one for image, one in zip(labels, found, strict=True) if isinstance(one, LabelFile)}
    outlines, boxes = sum(len(one.outlines) for one in read.values()), sum(one.boxes for one in read.values())
    if not outlines:
        what = f"all {boxes:,} labels are boxes, which are no masks" if boxes else "there is no label"
        raise InputError(f"--data {spec}: {what}; export the labels as segments")
    numbers = [number for one in read.values() for number, _ in one.outlines]
    names = described.names or (tuple(read_list(lists[0], spec)) if lists else ())
    names = names or tuple(f"class{number}" for number in range(max(numbers) + 1))
    kinds, index_of = class_indices(names, described.path or (lists[0] if lists else root))
    index = [index_of[name] for name in names]
    splits = {
        split: [Annotated(image, partial(read[image].regions, index)) for image in found]
        for split, found in images.items()
    }
    empty = sum(not one.path.exists() for one in read.values())
    notes = [f"{boxes:,} of {outlines + boxes:,} labels are boxes without an outline: left out"] if boxes else []
    notes += [f"{empty:,} of {len(read):,} images have no file of labels: all of them is background"] if empty else []
    others = (path for path in image_files(root) if path not in read)
    unused = tuple(path for path in others if "test" not in path.relative_to(root).parts)
    left_out = (LeftOut("images of no split", unused),) if unused else ()
    return Annotations(kinds, splits, left_out, tuple(notes))


def _read_or_error(path: Path) -> LabelFile | InputError:
    try:
        return read_labels(path)
    except InputError as error:
        return error
