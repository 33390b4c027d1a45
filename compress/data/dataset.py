"""Data sets: the pairs of image and mask files, and how they become bytes and class indices. Layouts: docs/data.md."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from compress.data.cache import cached_result
from compress.data.decoding import decode
from compress.data.faults import data_error
from compress.data.fingerprints import fingerprint, fingerprint_of_sizes
from compress.data.labels import IGNORE, Colour, Labels
from compress.data.left_out import LeftOut
from compress.data.pairs import Pair
from compress.data.pixels import Pixels, find_pixels
from compress.data.recognition import layout_module
from compress.data.scenes import TILE, cut_scenes
from compress.data.spec import parse_data
from compress.data.statistics import Size, SplitStatistics, mask_counts, parse_digest, read_digest, split_statistics
from compress.data.threads import map_in_threads
from search_spaces.errors import InputError

__all__ = ["IGNORE", "DataSet", "Pair", "map_pairs", "open_data", "read_pair"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class DataSet:
    """A data set that is open: its files are listed, and how they are read is known.

    Attributes:
        spec: The value of `--data`.
        labels: How masks become class indices.
        pixels: How images become bytes.
        train: The pairs of the training split.
        val: The pairs of the validation split.
        ignore: The class index of void pixels.
        left_out: Files in the folders of the data set that are not used.
        notes: What else the user should know, a line each.
    """

    spec: str
    labels: Labels
    pixels: Pixels
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    ignore: int = IGNORE
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.labels.names

    @property
    def colours(self) -> tuple[Colour, ...]:
        """The colour of each class, as red, green and blue from 0 to 255."""
        return self.labels.colours

    @property
    def files(self) -> list[Path]:
        """Image and mask of each pair, of training and then of validation. A scene is there once."""
        both = (file for pair in self.train + self.val for file in (pair.image, pair.mask))
        return list(dict.fromkeys(both)) if self.has_scenes else list(both)

    @cached_property
    def has_scenes(self) -> bool:
        """Whether images are so large that they are read by tiles."""
        return any(pair.window is not None for pair in self.train + self.val)

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

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, renamed or gets another content, or is to be read in another way.

        It does not depend on where the files are.
        """
        return fingerprint(self.files, self.content, self.labels, self.pixels)

    def has_fingerprint(self, stored: str) -> bool:
        """Whether a stored fingerprint is that of this data set.

        Args:
            stored: A fingerprint, also one that an older version made of the names and sizes of the files alone.

        Returns:
            Whether the data set is the same.
        """
        return stored in (self.fingerprint, fingerprint_of_sizes(self.files, self.labels, self.pixels))

    @cached_property
    def content(self) -> str:
        """The digest of the contents of all files."""
        return self.keep_content(lambda: read_digest(self.files))

    def keep_content(self, compute: Callable[[], str]) -> str:
        """The digest of the contents of all files, computed unless it is known for their present state.

        Args:
            compute: Computes the digest.

        Returns:
            The digest.
        """
        return cached_result("contents", None, self.files, compute, parse_digest)

    @cached_property
    def statistics(self) -> dict[str, SplitStatistics]:
        """Sizes and class counts of the splits `train` and `val`. Raises DataError when files cannot be read."""
        return self.keep_statistics(self._read_statistics)

    def keep_statistics(self, compute: Callable[[], dict[str, SplitStatistics]]) -> dict[str, SplitStatistics]:
        """The statistics of both splits, computed unless they are known for the present state of the files.

        Args:
            compute: Computes them.

        Returns:
            The statistics by the name of the split.
        """

        def plain() -> dict[str, Any]:
            return {split: found.to_dict() for split, found in compute().items()}

        def parse(stored: dict[str, Any]) -> dict[str, SplitStatistics]:
            found = {split: SplitStatistics.from_dict(stored[split]) for split in ("train", "val")}
            for split, pairs in (("train", self.train), ("val", self.val)):
                if (len(found[split].sizes), len(found[split].counts)) != (len(pairs), len(self.classes)):
                    raise ValueError(f"the statistics of {split} are not those of its pairs and classes")
            return found

        return cached_result("statistics", self.about((self.labels, self.pixels)), self.files, plain, parse)

    def about(self, how: Any) -> Any:
        """What a result that is kept depends on besides files.

        Args:
            how: How the files are read.

        Returns:
            The same; for scenes together with their tiles.
        """
        tiles = [[pair.window for pair in pairs] for pairs in (self.train, self.val)]
        return (how, tiles) if self.has_scenes else how

    def _read_statistics(self) -> dict[str, SplitStatistics]:
        found = {}
        for split, pairs in (("train", self.train), ("val", self.val)):
            read = map_pairs(pairs, self, lambda _, image, mask: (image.shape[:2], mask_counts(mask)), "class counts")
            found[split] = split_statistics(read, len(self.classes), self.ignore)
        return found

    @property
    def class_counts(self) -> np.ndarray:
        """Pixels of each class over the training masks. Raises DataError when files cannot be read."""
        return np.array(self.statistics["train"].counts)


def open_data(spec: str, seed: int = 0, tile: Size = TILE) -> DataSet:
    """Opens the data set that a `--data` value names. Single images and masks are not read: `check` does that.

    Scenes are cut into tiles, and their masks are read to leave out tiles without labels.

    Args:
        spec: A layout and a folder, such as `folder:DIR`. `~` stands for the home folder.
        seed: Draws the split of a data set that has none.
        tile: Height and width of the tiles of scenes, in pixels: the input size of the network.

    Returns:
        The data set.

    Raises:
        InputError: The layout is unknown, a folder or list is missing, or a split has no images.
        DataError: Volumes cannot be read.
    """
    layout, root = parse_data(spec)
    files = layout_module(layout).list_files(spec, root, seed)
    for split, pairs in (("train", files.train), ("val", files.val)):
        if not pairs:
            raise InputError(f"--data {spec}: the {split} split has no images; see docs/data.md for the layout")
    pixels = find_pixels(list(dict.fromkeys(pair.image for pair in files.train)), files.bands)
    train = cut_scenes(files.train, tile, files.labels, "training")
    val = cut_scenes(files.val, tile, files.labels, "validation")
    notes = (*files.notes, *train.notes, *val.notes)
    return DataSet(spec, files.labels, pixels, train.pairs, val.pairs, left_out=files.left_out, notes=notes)


def read_pair(pair: Pair, data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Reads and checks a pair.

    Args:
        pair: The files.
        data: The data set, which says how they are read.

    Returns:
        Image H,W,bands and mask H,W, both bytes, void pixels as IGNORE.

    Raises:
        InputError: A file cannot be decoded, the sizes differ, or a value is no class.
        DataError: Both files are wrong.
    """
    decoded = decode(pair, data.labels, data.pixels)
    return decoded.image, decoded.mask


def map_pairs(
    pairs: Sequence[Pair], data: DataSet, work: Callable[[Pair, np.ndarray, np.ndarray], Result], title: str
) -> list[Result]:
    """Calls a function on every pair, in threads.

    Args:
        pairs: The pairs.
        data: The data set, which says how they are read.
        work: The function of a pair, its image H,W,bands and its mask H,W.
        title: The title of a progress bar.

    Returns:
        The results, in the order of the pairs.

    Raises:
        DataError: Files are wrong; all of them are listed.
    """
    results: list[Result] = []
    faults: list[InputError] = []
    for result in results_or_errors(pairs, lambda pair: work(pair, *read_pair(pair, data)), title):
        if isinstance(result, InputError):
            faults.append(result)
        else:
            results.append(result)
    if faults:
        raise data_error(faults, data.spec)
    return results


def results_or_errors(
    pairs: Sequence[Pair], work: Callable[[Pair], Result], title: str
) -> Iterator[Result | InputError]:
    """Calls a function on every pair, in threads.

    Args:
        pairs: The pairs.
        work: The function of a pair.
        title: The title of a progress bar.

    Returns:
        Of each pair, in order, the result or the InputError that the function raised.
    """

    def one(pair: Pair) -> Result | InputError:
        try:
            return work(pair)
        except InputError as error:
            return error

    return map_in_threads(one, pairs, title)
