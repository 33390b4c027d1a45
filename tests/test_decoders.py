"""Every image file is read as a second library reads it, value for value, or it is refused in one line."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from format_files import FAMILIES

from compress.data.formats import read_bands, read_stored_mask
from search_spaces.errors import InputError

FIGURES = {  # files: images equal to a second library's, images refused, masks equal, masks refused
    "png": (128, 4, 128, 4),
    "jpeg": (54, 25, 0, 79),
    "tiff": (298, 8, 225, 81),
    "bitmap": (21, 4, 19, 6),
}


def compare(read: Callable[[Path], np.ndarray], path: Path, expected: np.ndarray | None) -> str:
    """What became of a file; `equal` and `refused` are as they should be."""
    try:
        found = read(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return "refused" if expected is None else f"refused, but should be read: {error}"
    if expected is None:
        return "read, but should be refused"
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{found.shape} {found.dtype}, but should be {expected.shape} {expected.dtype}"
    return "equal" if np.array_equal(found, expected) else f"{(found != expected).mean():.0%} of values differ"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_is_read_as_a_second_library_reads_it_or_refused(tmp_path: Path, family: str) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    wrong = []
    for i, case in enumerate(FAMILIES[family]()):
        path = tmp_path / f"{i}.image"  # the content decides, not the ending
        path.write_bytes(case.content)
        for what, read, expected in (
            ("image", read_bands, case.image),
            ("mask", lambda path: read_stored_mask(path).values, case.mask),
        ):
            became = compare(read, path, expected)
            counts[what, became] += 1
            if became not in ("equal", "refused"):
                wrong.append(f"{what} {case.name}: {became}")
    assert not wrong, "\n".join(wrong)
    figures = tuple(counts[what, became] for what in ("image", "mask") for became in ("equal", "refused"))
    assert figures == FIGURES[family]
