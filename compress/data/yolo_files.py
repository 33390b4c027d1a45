"""Reads the files of an Ultralytics data set (YOLO): the labels of an image, and the .yaml file of the data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from compress.data.regions import MIN_POINTS, Region, region_of_outlines
from compress.data.statistics import Size
from compress.files.records import read_content
from search_spaces.errors import InputError

YAML_NAMES = ("data.yaml", "dataset.yaml")  # looked for before others
MAX_YAML = 2**20  # bytes
BOX = 4  # numbers
MAX_SHARE = 2.0  # of the image's side, beyond which a number is no share of it
REMEDY = "export the labels again, as segments"
YAML_REMEDY = "write it as Ultralytics has it, with names and the folders of train and val"


@dataclass(frozen=True)
class LabelFile:
    """The labels of an image.

    Attributes:
        path: The file.
        outlines: The class number of each object and its outline n,2, in shares of the image's width and height.
        boxes: How many objects are boxes without an outline.
    """

    path: Path
    outlines: tuple[tuple[int, np.ndarray], ...] = ()
    boxes: int = 0

    def regions(self, index: Sequence[int], size: Size) -> list[Region]:
        """Makes the regions of the image.

        Args:
            index: The class index of each class number.
            size: Height and width of the image, in pixels.

        Returns:
            The regions.

        Raises:
            InputError: A class number has no name, or an outline is wrong.
        """
        regions = []
        for number, outline in self.outlines:
            if number >= len(index):
                raise InputError(f"{self.path}: class {number} has no name, there are {len(index)}; add it or mend it")
            try:
                region = region_of_outlines(index[number], [outline * (size[1], size[0])], size)
            except ValueError as error:
                raise InputError(f"{self.path}: {error}; {REMEDY}") from error
            regions += [] if region is None else [region]
        return regions


@dataclass(frozen=True)
class YamlFile:
    """What the .yaml file of a data set says.

    Attributes:
        path: The file; None where there is none.
        names: The name of each class number.
        train: Folders, lists or images of the training split.
        val: Folders, lists or images of the validation split.
    """

    path: Path | None = None
    names: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()


def read_labels(path: Path) -> LabelFile:
    """Reads the labels of an image.

    Args:
        path: The file. It may be missing: nothing is on the image then.

    Returns:
        The objects.

    Raises:
        InputError: The file cannot be read, or a line is no outline.
    """
    if not path.exists():
        return LabelFile(path)
    try:
        lines = read_content(path, REMEDY).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read ({error}); {REMEDY}") from error
    outlines: list[tuple[int, np.ndarray]] = []
    boxes = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        try:
            values = np.array(words[1:], np.float64)
        except ValueError:
            values = np.full(1, np.nan)
        if not words[0].isdecimal() or len(words[0]) > 4 or len(values) % 2 or len(values) < BOX:
            raise InputError(f"{path}: line {number} is no class number with x and y of points; {REMEDY}")
        if not (np.abs(values) <= MAX_SHARE).all():
            raise InputError(f"{path}: line {number} has numbers that are no shares of the image's sides; {REMEDY}")
        if len(values) < 2 * MIN_POINTS:
            boxes += 1
        else:
            outlines.append((int(words[0]), values.reshape(-1, 2)))
    return LabelFile(path, tuple(outlines), boxes)


def label_file(image: Path) -> Path:
    """Where the labels of an image lie: `labels` stands in place of the last `images` in its path.

    Args:
        image: The file of the image.

    Returns:
        The file of its labels, which may be missing. It lies beside the image where no folder is called `images`.
    """
    parts = list(image.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts, f"{image.stem}.txt")


def read_yaml(root: Path) -> YamlFile:
    """Reads the .yaml file of a data set.

    Args:
        root: The folder of the data set.

    Returns:
        What the file says; nothing where there is no file with names.

    Raises:
        InputError: The file cannot be read.
    """
    found = sorted((*root.glob("*.yaml"), *root.glob("*.yml")), key=lambda path: (path.name not in YAML_NAMES, path))
    for path in found:
        content = read_content(path, YAML_REMEDY)
        try:
            if len(content) > MAX_YAML:
                raise ValueError(f"it has {len(content):,} bytes")
            value: Any = yaml.load(content, yaml.BaseLoader)  # texts, lists and objects alone
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path} cannot be read ({reason}); {YAML_REMEDY}") from error
        if isinstance(value, dict) and "names" in value:
            return YamlFile(path, _names(value["names"], path), *(_texts(value.get(key)) for key in ("train", "val")))
    return YamlFile()


def _names(value: Any, path: Path) -> tuple[str, ...]:
    """The names of classes, from a list or from an object with a number for each. Raises InputError."""
    if isinstance(value, dict):
        numbers = [int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 5 else -1 for key in value]
        if sorted(numbers) != list(range(len(numbers))):
            raise InputError(f"{path}: names are not numbered from 0 on; {YAML_REMEDY}")
        value = [name for _, name in sorted(zip(numbers, value.values(), strict=True), key=lambda pair: pair[0])]
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise InputError(f"{path}: names are no list of texts; {YAML_REMEDY}")
    return tuple(" ".join(name.split()) for name in value)


def _texts(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    return tuple(text for text in given if isinstance(text, str) and text.strip())
