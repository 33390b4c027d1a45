"""Parquet files with a column of images and one of masks, as Hugging Face keeps data sets."""

from pathlib import Path

from compress.data.cache import files_key
from compress.data.classes_file import read_classes
from compress.data.found_classes import find_labels, require_one_palette
from compress.data.pairs import Listing, Pair
from compress.data.parquet_files import write_pairs, written_pairs
from compress.data.splits import Drawn, split_by_seed, split_of
from compress.files.atomic import RUNS, make_folder
from search_spaces.errors import InputError

PLACES = ("*.parquet", "data/*.parquet", "*/*.parquet")
WRITING = "files as they are"  # another text when they are to be written anew


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    found = _parquet_files(root)
    return f"{found[0].relative_to(root)}, a parquet file" if found else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Writes the images and masks of parquet files under runs/data, unless they are there, and lists them.

    Args:
        spec: The value of `--data`, for messages.
        root: A folder with files such as `data/train-00000-of-00001.parquet`.
        seed: Draws the validation split where no file has it.

    Returns:
        The pairs of both splits. The classes are those of classes.txt, or found in the masks.

    Raises:
        InputError: There is no parquet file, one cannot be read, or the classes are wrong or needed.
    """
    files = [path for path in _parquet_files(root) if split_of(path.relative_to(root).as_posix()) != "test"]
    if not files:
        raise InputError(f"--data {spec}: {root} has no .parquet file for training")

    def pairs(*splits: str) -> tuple[Pair, ...]:
        own = [path for path in files if split_of(path.relative_to(root).as_posix()) in splits]
        folder = RUNS / "data" / f"parquet-{files_key(own, WRITING)}"
        make_folder(folder, lambda part: write_pairs(own, part))
        return written_pairs(folder)

    if {"train", "val"} <= {split_of(path.relative_to(root).as_posix()) for path in files}:
        splits = Drawn(pairs("train", ""), pairs("val"))
    else:
        splits = split_by_seed(pairs("train", "val", ""), root, seed, spec)
    classes, bands = root / "classes.txt", root / "bands.txt"
    labels = read_classes(classes) if classes.exists() else find_labels([*splits.train, *splits.val], classes)
    require_one_palette([*splits.train, *splits.val], labels)
    return Listing(labels, splits.train, splits.val, bands if bands.exists() else None, notes=splits.notes)


def _parquet_files(root: Path) -> list[Path]:
    return sorted({path for place in PLACES for path in root.glob(place) if path.is_file()})
