"""Reads an annotation file of COCO's form (Lin et al. 2014): images, categories, and annotations with outlines."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from compress.data.annotations import Annotated, class_indices
from compress.data.left_out import LeftOut
from compress.data.regions import Region, region_of_outlines, region_of_runs
from compress.data.statistics import Size
from compress.data.trees import image_files
from compress.files.records import read_json
from search_spaces.errors import InputError

REMEDY = "export the annotations again, in COCO's form"
MAX_NAME = 240  # bytes; systems allow 255
TRIED = 20  # images by which the folder of all is found

Id = int | str


@dataclass(frozen=True)
class CocoFile:
    """An annotation file.

    Attributes:
        path: The file.
        images: The entries of the images.
        categories: Id, name and supercategory of each category, in order of the ids.
        annotations: The annotations of each image, by the image's id.
        folder: The folder of the images.
        bare: Whether images lie in `folder` without the folders of their names.
    """

    path: Path
    images: tuple[dict[str, Any], ...]
    categories: tuple[tuple[Id, str, str], ...]
    annotations: dict[Id, list[dict[str, Any]]]
    folder: Path
    bare: bool

    @property
    def used(self) -> set[Id]:
        """The ids of the categories that annotations have."""
        return {one["category_id"] for many in self.annotations.values() for one in many}

    def notes(self) -> tuple[str, ...]:
        """Says which annotations have no outline.

        Returns:
            One line, or none.

        Raises:
            InputError: No annotation has an outline.
        """
        every = [one for many in self.annotations.values() for one in many]
        boxes = [one for one in every if not one.get("segmentation")]
        if boxes and len(boxes) == len(every):
            raise InputError(f"{self.path}: no annotation has an outline, and boxes are no masks; export outlines")
        count = f"{len(boxes):,} of {len(every):,} annotations"
        return (f"{self.path}: {count} have no outline and are left out",) if boxes else ()

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Images beside the others that the file does not name."""
        named = {self.place(image) for image in self.images}
        others = tuple(path for path in image_files(self.folder) if path not in named)
        return (LeftOut("images that the annotations do not name", others),) if others else ()

    def place(self, image: dict[str, Any]) -> Path:
        """Where an image lies.

        Args:
            image: Its entry.

        Returns:
            The file, which may be missing.
        """
        return self.folder / _name(image["file_name"], self.bare)

    def classes(self, used: set[Id]) -> tuple[tuple[str, ...], dict[Id, int]]:
        """The classes of the file.

        Args:
            used: The ids of the categories that any annotation has.

        Returns:
            Their names, and the class index of each category.

        Raises:
            InputError: There are none, too many, or a name is there twice.
        """
        above = {supercategory for _, _, supercategory in self.categories}  # Roboflow lists such as a category, unused
        kept = [(key, name) for key, name, _ in self.categories if key in used or name not in above]
        names, index = class_indices([name for _, name in kept], self.path)
        return names, {key: index[name] for key, name in kept}

    def annotated(self, index: dict[Id, int]) -> list[Annotated]:
        """The images with what makes their regions.

        Args:
            index: The class index of each category.

        Returns:
            The images in the order of the file.
        """
        return [Annotated(self.place(image), partial(self._regions, image, index)) for image in self.images]

    def _regions(self, image: dict[str, Any], index: dict[Id, int], size: Size) -> list[Region]:
        """Raises InputError for a wrong annotation."""
        height, width = image.get("height"), image.get("width")
        if (height, width) != (None, None) and (height, width) != size:
            given = f"{str(width)[:20]}x{str(height)[:20]}"
            there = f"{image['file_name']} is {given} there, but the file is {size[1]}x{size[0]}"
            raise InputError(f"{self.path}: {there}; put the images there that were annotated")
        regions = []
        for annotation in self.annotations.get(image["id"], ()):
            try:
                region = _region(annotation, index[annotation["category_id"]], size)
            except ValueError as error:
                which = f"annotation {str(annotation.get('id'))[:20]} of {image['file_name']}"
                raise InputError(f"{self.path}: {which}: {error}; mend or remove it") from error
            regions += [] if region is None else [region]
        return regions


def _region(annotation: dict[str, Any], value: int, size: Size) -> Region | None:
    """The region of an annotation; None where it has no outline. Raises ValueError."""
    found, crowd = annotation.get("segmentation"), annotation.get("iscrowd") in (1, True)
    if not found:
        return None
    if isinstance(found, dict):
        return region_of_runs(value, found.get("counts"), found.get("size"), size, crowd)
    if not isinstance(found, list) or not all(isinstance(outline, list) for outline in found):
        raise ValueError("its segmentation is neither outlines nor runs")
    region = region_of_outlines(value, found, size)
    return None if region is None else Region(region.value, region.lengths, crowd)


def read_coco(path: Path, root: Path) -> CocoFile:
    """Reads an annotation file.

    Args:
        path: The file.
        root: The folder of the data set; images are looked for in it.

    Returns:
        Its content.

    Raises:
        InputError: The file cannot be read, or has not this form.
    """
    value = read_json(path, REMEDY, dict)
    images = _entries(value, "images", {"id": (int, str), "file_name": (str,)}, path)
    categories = _entries(value, "categories", {"id": (int, str), "name": (str,)}, path)
    found = _entries(value, "annotations", {"image_id": (int, str), "category_id": (int, str)}, path)
    for name, entries in (("image", images), ("category", categories)):
        if len({entry["id"] for entry in entries}) < len(entries):
            raise InputError(f"{path}: two {name} entries have the same id; {REMEDY}")
    if not images:
        raise InputError(f"{path}: it names no images; {REMEDY}")
    long = [name for entry in images for name in Path(entry["file_name"]).parts if len(name.encode()) > MAX_NAME]
    if long:
        raise InputError(f"{path}: {long[0][:40]}... is too long for the name of a file; {REMEDY}")
    known = {"image_id": {entry["id"] for entry in images}, "category_id": {entry["id"] for entry in categories}}
    annotations: dict[Id, list[dict[str, Any]]] = defaultdict(list)
    for entry in found:
        for key, ids in known.items():
            if entry[key] not in ids:
                which = f"annotation {str(entry.get('id'))[:20]} has the {key} {str(entry[key])[:20]}"
                raise InputError(f"{path}: {which}, which the file does not describe; {REMEDY}")
        annotations[entry["image_id"]].append(entry)
    order = sorted(categories, key=lambda entry: (isinstance(entry["id"], str), entry["id"]))
    listed = tuple(
        (entry["id"], " ".join(entry["name"].split()), str(entry.get("supercategory"))[:80]) for entry in order
    )
    folder, bare = _image_folder(path, root, [entry["file_name"] for entry in images[:TRIED]])
    return CocoFile(path, tuple(images), listed, dict(annotations), folder, bare)


def _entries(value: dict[str, Any], key: str, kinds: dict[str, tuple[type, ...]], path: Path) -> list[dict[str, Any]]:
    """The entries of a list, each an object that has some keys. Raises InputError."""
    entries = value.get(key)
    if not isinstance(entries, list):
        raise InputError(f"{path}: it has no list {key!r}; {REMEDY}")
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: entry {i} of {key!r} is no object; {REMEDY}")
        for name, allowed in kinds.items():
            given = entry.get(name)
            if not isinstance(given, allowed) or isinstance(given, bool) or not str(given).strip():
                raise InputError(f"{path}: entry {i} of {key!r} has no {name!r}; {REMEDY}")
    return entries


def _image_folder(path: Path, root: Path, names: Sequence[str]) -> tuple[Path, bool]:
    """The folder in which the images are, and whether they lie there without the folders of their names."""
    for bare in (False, True):
        for folder in _candidates(path, root):
            if any((folder / _name(name, bare)).is_file() for name in names):
                return folder, bare
    return path.parent, False


def _candidates(path: Path, root: Path) -> Iterable[Path]:
    split = path.stem.removeprefix("instances_")
    for base in dict.fromkeys((path.parent, root)):
        yield from (base / inner for inner in ("", split, f"images/{split}", "images"))


def _name(file_name: str, bare: bool) -> str:
    """A path as this system writes it, inside of a folder."""
    plain = file_name.replace("\\", "/")
    return plain.rpartition("/")[2] if bare else plain.lstrip("/")
