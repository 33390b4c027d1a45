"""Data sets: pairs of image and mask files, and how they become bytes and class indices. Layouts: docs/data.md."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from compress.data.cache import cached_result
from compress.data.formats import read_bands, read_values
from compress.data.labels import IGNORE, Colour, Labels
from compress.data.layouts import LAYOUTS
from compress.data.pairs import Listing, Pair
from compress.data.pixels import Pixels, find_pixels
from compress.data.threads import map_in_threads
from search_spaces.errors import DataError, InputError

__all__ = ["IGNORE", "DataSet", "Pair", "map_pairs", "open_data", "read_pair"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class DataSet:
    """Pairs of both splits, and how masks (`labels`) and images (`pixels`) are read; `ignore` is the index of void."""

    spec: str
    labels: Labels
    pixels: Pixels
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    ignore: int = IGNORE

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels.names

    @property
    def colours(self) -> tuple[Colour, ...]:
        return self.labels.colours

    def facts(self) -> dict[str, Any]:
        """What the data set consists of, to say what changed when a run is resumed.

        Returns:
            Plain JSON values: `train` and `val` (pairs of each split), `classes` (names), `bands` (how images become
            bytes) and `fingerprint` (of all files).
        """
        return {
            "train": len(self.train),
            "val": len(self.val),
            "classes": list(self.classes),
            "bands": self.pixels.to_dict(),
            "fingerprint": self.fingerprint,
        }

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, renamed or changes its size, or is to be read in another way."""
        files = [f for pair in self.train + self.val for f in (pair.image, pair.mask)]
        sizes = [(f.name, f.stat().st_size if f.exists() else None) for f in files]
        return sha256(repr((sizes, self.labels, self.pixels)).encode()).hexdigest()[:12]

    @cached_property
    def class_counts(self) -> np.ndarray:
        """Pixels of each class over the training masks. Raises InputError for a mask that cannot be read."""
        found = map_in_threads(lambda pair: count_classes(read_mask(pair.mask, self), self), self.train, "class counts")
        return self.remember_counts(lambda: np.sum(list(found), axis=0))

    def remember_counts(self, count: Callable[[], np.ndarray]) -> np.ndarray:
        """`class_counts` as `count` finds them, unless they are known already."""
        masks = [pair.mask for pair in self.train]
        return np.array(cached_result("counts", self.labels, masks, lambda: count().tolist()))


def open_data(spec: str, seed: int = 0) -> DataSet:
    """The data set a `--data` value names; the seed draws the split of a folder that has none.

    Raises InputError for an unknown kind, a missing folder or list, DataError for volumes that cannot be read. Single
    images and masks are not looked at: `compress.data.check` does that.
    """
    kind, _, folder = spec.partition(":")
    if kind not in LAYOUTS:
        raise InputError(f"--data {spec}: unknown data set; choose from {', '.join(LAYOUTS.values())}")
    if ":" in LAYOUTS[kind] and not folder:
        raise InputError(f"--data {spec}: name the folder, {LAYOUTS[kind]}")
    if folder and not Path(folder).is_dir():
        raise InputError(f"--data {spec}: there is no folder {folder}; check the path")
    root = Path(folder)
    files: Listing = import_module(f"compress.data.layouts.{kind}").list_files(spec, root, seed)
    for split, pairs in (("train", files.train), ("val", files.val)):
        if not pairs:
            raise InputError(f"--data {spec}: the {split} split has no images; see docs/data.md for the layout")
    pixels = find_pixels([pair.image for pair in files.train], files.bands)
    return DataSet(spec, files.labels, pixels, files.train, files.val)


def read_pair(pair: Pair, data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Image (H,W,3) and mask (H,W), uint8, void pixels as IGNORE.

    Raises InputError for a file that cannot be decoded, sizes that differ or a class out of range; DataError when both
    files are wrong.
    """
    faults = []
    try:
        image = data.pixels.to_bytes(read_bands(pair.image), pair.image)
    except InputError as error:
        faults.append(str(error))
    try:
        mask = read_mask(pair.mask, data)
    except InputError as error:
        faults.append(str(error))
    if faults:
        raise DataError(faults) if len(faults) > 1 else InputError(faults[0])
    if mask.shape != image.shape[:2]:
        sizes = f"{mask.shape[1]}x{mask.shape[0]} but {pair.image} is {image.shape[1]}x{image.shape[0]}"
        raise InputError(f"{pair.mask}: the mask is {sizes}; make them the same size")
    return image, mask


def read_mask(path: Path, data: DataSet) -> np.ndarray:
    return data.labels.class_map(read_values(path), path)


def count_classes(mask: np.ndarray, data: DataSet) -> np.ndarray:
    """Pixels of each class."""
    return np.bincount(mask.ravel(), minlength=IGNORE + 1)[: len(data.classes)]


def map_pairs_or_errors(
    pairs: Sequence[Pair], data: DataSet, work: Callable[[Pair, np.ndarray, np.ndarray], Result], title: str
) -> Iterator[Result | InputError]:
    """`work(pair, image, mask)` on every pair, in order, or the error that stood in its way."""

    def one(pair: Pair) -> Result | InputError:
        try:
            return work(pair, *read_pair(pair, data))
        except InputError as error:
            return error

    return map_in_threads(one, pairs, title)


def map_pairs(
    pairs: Sequence[Pair], data: DataSet, work: Callable[[Pair, np.ndarray, np.ndarray], Result], title: str
) -> list[Result]:
    """`work(pair, image, mask)` of every pair, in order. Raises one DataError that lists all wrong files."""
    results: list[Result] = []
    faults: list[InputError] = []
    for result in map_pairs_or_errors(pairs, data, work, title):
        if isinstance(result, InputError):
            faults.append(result)
        else:
            results.append(result)
    if faults:
        raise data_error(faults, data)
    return results


def data_error(faults: Sequence[InputError], data: DataSet) -> DataError:
    """One error for all: a line that counts them, then a line for each file."""
    lines = [line for fault in faults for line in (fault.lines if isinstance(fault, DataError) else [str(fault)])]
    return DataError([f"--data {data.spec}: {len(lines)} wrong file{'s' * (len(lines) > 1)}", *lines])
