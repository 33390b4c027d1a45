"""Reads parquet files with a column of images and one of masks, as Hugging Face's data sets are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.data.decoders import jpeg, tiff
from compress.data.pairs import Pair
from search_spaces.errors import InputError

IMAGE_COLUMNS = ("image", "img", "pixel_values", "images")
MASK_COLUMNS = (
    *("mask", "label", "annotation", "labels", "masks", "segmentation", "segmentation_mask", "semantic_segmentation"),
    *("annotations", "gt"),
)
ROWS = 16  # that are in memory at once
MAX_STEM = 80  # characters of a name that are kept
REMEDY = "download it again, or save images and masks as files"


@dataclass(frozen=True)
class Row:
    """The content of an image file and of its mask file, and a name for both."""

    name: str
    image: bytes
    mask: bytes


def write_pairs(files: Sequence[Path], folder: Path) -> None:
    """Writes the images and masks of parquet files, each with the bytes that it has there.

    Args:
        files: The parquet files of a split, in order.
        folder: An empty folder; `images` and `masks` are made in it.

    Raises:
        InputError: A file cannot be read, or has no such columns; or pyarrow is missing.
    """
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    count = 0
    for path in files:
        for row in _rows(path):
            name = f"{row.name}-{count:06}"
            (folder / "images" / f"{name}{_ending(row.image)}").write_bytes(row.image)
            (folder / "masks" / f"{name}{_ending(row.mask)}").write_bytes(row.mask)
            count += 1


def written_pairs(folder: Path) -> tuple[Pair, ...]:
    """The pairs that `write_pairs` has written.

    Args:
        folder: The folder.

    Returns:
        The pairs in the order of their names.
    """
    masks = folder / "masks"
    mask_of = {path.stem: path for path in masks.iterdir()}
    return tuple(
        Pair(image, mask_of.get(image.stem, masks / f"{image.stem}.png"))  # the check names one that was removed
        for image in sorted((folder / "images").iterdir(), key=lambda path: path.stem)
    )


def _rows(path: Path) -> Iterator[Row]:
    """Raises InputError."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError(f'{path}: parquet files are read with pyarrow; pip install "slimlab[parquet]"') from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names, path)
            for batch in file.iter_batches(ROWS, columns=list(columns)):
                yield from (_row([entry[column] for column in columns], path) for entry in batch.to_pylist())
    except InputError:
        raise
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}); {REMEDY}") from error


def _columns(names: Sequence[str], path: Path) -> tuple[str, str]:
    """The columns of images and of masks. Raises InputError."""
    found = [next((name for name in names if name.lower() in known), None) for known in (IMAGE_COLUMNS, MASK_COLUMNS)]
    image, mask = found
    if image is None or mask is None:
        needed = f"a column of images ({', '.join(IMAGE_COLUMNS[:3])}) and one of masks ({', '.join(MASK_COLUMNS[:3])})"
        raise InputError(f"{path}: it has the columns {', '.join(names)[:200]}; what is needed: {needed}")
    return image, mask


def _row(entries: Sequence[Any], path: Path) -> Row:
    """Raises InputError where a row does not hold two files."""
    contents = [entry.get("bytes") if isinstance(entry, dict) else entry for entry in entries]
    image, mask = contents
    if not (isinstance(image, bytes) and isinstance(mask, bytes)):
        raise InputError(f"{path}: its columns do not hold the bytes of files; save images and masks as files")
    given = entries[0].get("path") if isinstance(entries[0], dict) else None
    stem = Path(given).stem if isinstance(given, str) else ""
    kept = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in stem)[:MAX_STEM]
    return Row(kept.lstrip(".") or "row", image, mask)


def _ending(content: bytes) -> str:
    """The ending of a file, by its first bytes. Readers go by the content, so only the usual kinds are told apart."""
    if content.startswith(jpeg.SIGNATURE):
        return ".jpg"
    return ".tif" if content.startswith(tiff.SIGNATURES) else ".png"
