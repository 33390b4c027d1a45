"""Reads the .json file that LabelMe writes beside an image."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import cos, hypot, pi, sin
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from compress.data.formats import IMAGE_ENDINGS
from compress.data.regions import Region, region_of_bitmap, region_of_outlines
from compress.data.statistics import Size
from compress.files.records import read_json
from search_spaces.errors import InputError

REMEDY = "open the image in LabelMe and save it again"
WITHOUT_AREA = ("point", "points", "line", "linestrip")
CIRCLE_POINTS = 64  # corners of the polygon that a circle becomes


@dataclass(frozen=True)
class Shape:
    """A shape of a file.

    Attributes:
        label: The name of its class.
        kind: What LabelMe calls it, such as polygon.
        points: n,2: x and y of each point, in pixels.
        bitmap: h,w bytes of a shape of the kind `mask`.
    """

    label: str
    kind: str
    points: np.ndarray
    bitmap: np.ndarray | None = None


@dataclass(frozen=True)
class LabelMeFile:
    """The annotation of an image.

    Attributes:
        path: The file.
        image: The image that it belongs to, which may be missing.
        size: Height and width that the file gives, in pixels, or None.
        shapes: The shapes that have an area.
        without_area: How many points and lines there are beside them.
    """

    path: Path
    image: Path
    size: Size | None
    shapes: tuple[Shape, ...]
    without_area: int

    @property
    def labels(self) -> set[str]:
        """The names of the classes."""
        return {shape.label for shape in self.shapes}

    def regions_of(self, index: dict[str, int]) -> Callable[[Size], list[Region]]:
        """What makes the regions of the image.

        Args:
            index: The class index of each name.

        Returns:
            A function of the image's height and width. It raises InputError for a wrong shape.
        """
        return partial(self._regions, index)

    def _regions(self, index: dict[str, int], size: Size) -> list[Region]:
        if self.size not in (None, size):
            given = f"{self.size[1]}x{self.size[0]}" if self.size else ""
            there = f"the image is {given} there, but {self.image.name} is {size[1]}x{size[0]}"
            raise InputError(f"{self.path}: {there}; put the image there that was annotated")
        regions = []
        for i, shape in enumerate(self.shapes):
            if shape.label not in index:
                raise InputError(f"{self.path}: the class {shape.label[:40]} is not in the list of classes; add it")
            try:
                region = _region(shape, index[shape.label], size)
            except ValueError as error:
                raise InputError(f"{self.path}: shape {i} ({shape.label[:40]}): {error}; {REMEDY}") from error
            regions += [] if region is None else [region]
        return regions


def _region(shape: Shape, value: int, size: Size) -> Region | None:
    """Raises ValueError for a shape that is wrong."""
    points = shape.points
    if shape.bitmap is not None:
        left, top = np.round(points.min(axis=0)).astype(int).tolist()
        return region_of_bitmap(value, shape.bitmap, (left, top), size)
    if shape.kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points.tolist()
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    elif shape.kind == "circle":
        (x, y), (edge_x, edge_y) = points[:2].tolist()
        radius, steps = hypot(edge_x - x, edge_y - y), (2 * pi * i / CIRCLE_POINTS for i in range(CIRCLE_POINTS))
        points = np.array([(x + radius * cos(step), y + radius * sin(step)) for step in steps])
    return region_of_outlines(value, [points], size)


def read_labelme(path: Path) -> LabelMeFile:
    """Reads the annotation of an image.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        InputError: The file cannot be read, or has not this form.
    """
    value = read_json(path, REMEDY, dict)
    shapes = value.get("shapes")
    if not isinstance(shapes, list):
        raise InputError(f"{path}: it has no list 'shapes', as files of LabelMe have; remove it or save it again")
    kinds = [shape.get("shape_type", "polygon") if isinstance(shape, dict) else None for shape in shapes]
    with_area = [
        _shape(shape, i, path)
        for i, (shape, kind) in enumerate(zip(shapes, kinds, strict=True))
        if not (isinstance(kind, str) and kind in WITHOUT_AREA)
    ]
    height, width = value.get("imageHeight"), value.get("imageWidth")
    size = (height, width) if type(height) is int and type(width) is int else None
    image = _image(value.get("imagePath"), path)
    return LabelMeFile(path, image, size, tuple(with_area), len(shapes) - len(with_area))


def _image(given: object, path: Path) -> Path:
    """The image of a file: the one of its own name, else the one that it names."""
    own = [path.with_suffix(ending) for low in IMAGE_ENDINGS for ending in (low, low.upper())]
    named = path.parent / given.replace("\\", "/") if isinstance(given, str) and len(given) < 240 else own[0]
    return next((image for image in (*own, named) if image.is_file()), named)


def _shape(shape: Any, place: int, path: Path) -> Shape:
    """Raises InputError for a shape that has not LabelMe's form."""
    which = f"{path}: shape {place}"
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"].strip():
        raise InputError(f"{which} has no label; {REMEDY}")
    label, kind = " ".join(shape["label"].split()), shape.get("shape_type", "polygon")
    try:
        points = np.asarray(shape.get("points"), np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or len(points) < 2:
        raise InputError(f"{which} ({label[:40]}) has no points; {REMEDY}")
    if kind != "mask":
        return Shape(label, str(kind), points)
    try:
        content = base64.b64decode(str(shape.get("mask")), validate=True)
        bitmap = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if content else None
    except (binascii.Error, cv2.error) as error:
        raise InputError(f"{which} ({label[:40]}) has a mask that cannot be read ({error}); {REMEDY}") from error
    if bitmap is None:
        raise InputError(f"{which} ({label[:40]}) has a mask that cannot be read; {REMEDY}")
    return Shape(label, "mask", points, np.asarray(bitmap))
