"""The classes of masks that come without a classes.txt, and palettes that must agree."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.cache import cached_result, whole_number
from compress.data.formats import read_palette, read_stored_mask
from compress.data.labels import IGNORE, Labels, default_colours
from compress.data.pairs import Pair
from compress.data.scene_files import parts_of
from compress.data.threads import map_in_threads
from compress.data.windows import Window
from compress.files.records import MAX_INTEGER
from search_spaces.errors import InputError

MAX_UNNAMED = 64  # classes without names; more values are shades or noise
MAX_PROPOSED = 8  # shades in a message
MIN_SHARE = 0.02  # of all pixels, from which a value is likely a class


def find_labels(pairs: Sequence[Pair], classes: Path) -> Labels:
    """The classes of masks of indices: 0 to the largest value.

    Args:
        pairs: All pairs of the data set.
        classes: Where the classes.txt would be, for messages.

    Returns:
        class0, class1 and so on. A value that is nodata in every mask is no class.

    Raises:
        InputError: The masks need a classes.txt. The message proposes its lines.
    """
    masks = list(dict.fromkeys(pair.mask for pair in pairs))
    pixels, nodata = cached_result("shades", None, masks, lambda: _count(masks), _parse_counts)
    found = sorted(value for value in pixels if value != IGNORE)
    if not found and pixels:
        raise InputError(
            f"{classes.parent}: every pixel of the masks is {IGNORE}, which is void; give masks with classes"
        )
    if not found:
        raise _no_indices(masks, classes)
    if found == [0] and IGNORE in pixels:
        raise InputError(
            f"{classes} is missing, and masks hold 0 and 255; write 'background 0 0 0', 'object 255 255 255'"
        )
    if len(found) == 1:
        only = f"every pixel of the masks is {found[0]}{f' or void ({IGNORE})' if IGNORE in pixels else ''}"
        raise InputError(f"{classes.parent}: {only}; a network needs two classes or more, so give masks that show them")
    if min(found) < 0 or max(found) > IGNORE:
        raise InputError(f"{classes} is missing, and masks hold {min(found)} to {max(found)}; use 0 to 1, up to 254")
    unmeasured = {value for value in nodata if value not in pixels and 0 <= value < IGNORE}
    values = tuple(value for value in range(max(found) + 1) if value not in unmeasured)
    if len(values) >= 2 * len(found) or len(found) > MAX_UNNAMED:
        raise InputError(f"{classes} is missing, and masks hold {_proposal(pixels)}")
    names = tuple(f"class{value}" for value in values)
    return Labels(names, default_colours(len(names)), values, (*sorted(unmeasured), IGNORE))


def require_one_palette(pairs: Sequence[Pair], labels: Labels) -> None:
    """Checks that the palettes of masks of indices show each class in one colour. Programs that save colours with a
    palette give each file an order of its own; its indices are no classes then.

    Args:
        pairs: All pairs of the data set.
        labels: Classes without colours of their own. Nothing is checked where they have colours.

    Raises:
        InputError: Two palettes differ; it names both files.
    """
    if labels.paint:
        return
    masks = [pair.mask for pair in pairs]
    first: dict[int, tuple[tuple[int, ...], Path]] = {}  # the first colour of each index
    for mask, palette in zip(masks, map_in_threads(read_palette, masks, "palettes"), strict=True):
        if palette is None:
            continue
        for index in (value for value in labels.values if value < len(palette)):
            colour = tuple(palette[index].tolist())
            known, other = first.setdefault(index, (colour, mask))
            if colour != known:
                raise InputError(
                    f"{mask}: its palette shows index {index} as {' '.join(map(str, colour))}, that of {other} as "
                    f"{' '.join(map(str, known))}; give the colour of each class in classes.txt"
                )


def _no_indices(masks: Sequence[Path], classes: Path) -> InputError:
    """Why no mask has class indices."""
    first = next((mask for mask in masks if mask.exists()), masks[0])
    try:
        stored = read_stored_mask(first, next(parts_of(first)))
    except InputError as error:
        return error
    if stored.values.ndim == 2 and (stored.values != np.floor(stored.values)).any():
        return InputError(f"{first}: labels are no whole numbers; resample them with nearest neighbour")
    return InputError(f"{classes} is missing, and no mask has class indices; write it, such as 'road 128 64 128'")


def _proposal(pixels: Mapping[int, int]) -> str:
    """What masks of shades hold, and the lines of a classes.txt for it."""
    total = sum(pixels.values())
    common = [value for value, count in Counter(pixels).most_common(MAX_PROPOSED) if count >= MIN_SHARE * total]
    shades = ", ".join(f"{value} ({pixels[value] / total:.0%})" for value in sorted(common))
    lines = ", ".join(f"'class{i} {v} {v} {v}'" for i, v in enumerate(sorted(common)))
    rest = len(pixels) - len(common)
    others = f"; the {rest} other values look like noise of JPEG or of resizing, make the masks anew" if rest else ""
    return f"{len(pixels)} values with gaps, most pixels {shades}; if these are shades of classes write {lines}{others}"


def _count(masks: Sequence[Path]) -> dict[str, list]:
    """Pixels of each value over all masks, and the values that masks have for nodata; plain JSON values."""
    pixels: Counter[int] = Counter()
    nodata: set[int] = set()
    for valid, empty in map_in_threads(_values, masks, "classes"):
        pixels.update(valid)
        nodata.update(empty)
    return {"pixels": sorted(pixels.items()), "nodata": sorted(nodata)}


def _parse_counts(value: Any) -> tuple[dict[int, int], set[int]]:
    """What `_count` gave and a file kept. Raises KeyError, TypeError or ValueError for anything else."""
    pixels = {whole_number(shade, -MAX_INTEGER): whole_number(count, 1) for shade, count in value["pixels"]}
    return pixels, {whole_number(shade, -MAX_INTEGER) for shade in value["nodata"]}


def _values(path: Path) -> tuple[dict[int, int], list[int]]:
    """Pixels of each value of a mask, and its values for nodata. The check names masks that cannot be read, that hold
    colours or fractions."""
    counts: Counter[int] = Counter()
    nodata: set[int] = set()
    for window in parts_of(path):
        found = _values_of_part(path, window)
        if found is None:
            return {}, []
        counts.update(found[0])
        nodata.update(found[1])
    return dict(counts), sorted(nodata)


def _values_of_part(path: Path, window: Window | None) -> tuple[dict[int, int], list[int]] | None:
    """As `_values`, of a part of a mask; None where they are no class indices."""
    try:
        stored = read_stored_mask(path, window)
    except InputError:
        return None
    if stored.values.ndim > 2:
        return None
    valid = stored.values if stored.nodata is None else stored.values[~stored.nodata]
    empty = stored.values[:0, 0] if stored.nodata is None else np.unique(stored.values[stored.nodata])
    distinct, counts = np.unique(valid, return_counts=True)
    if (distinct != np.floor(distinct)).any():
        return None
    return dict(zip(distinct.astype(int).tolist(), counts.tolist(), strict=True)), _whole(empty)


def _whole(values: np.ndarray) -> list[int]:
    return [int(value) for value in values.tolist() if np.isfinite(value) and value == np.floor(value)]
