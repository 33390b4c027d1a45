"""Parts of large TIFF files: the same values as in the whole file, and no byte beyond what the part needs."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from format_files import SIDE, noise, tiff_cases
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.data.decoders import tiff_windows
from compress.data.decoders.tiff_windows import SegmentCache, open_tiff
from compress.data.formats import read_stored_image, read_stored_mask
from compress.data.windows import Window, grid, spread
from search_spaces.errors import InputError

PARTS = (Window(0, 0, *SIDE), Window(3, 5, 11, 17), Window(SIDE[0] - 1, SIDE[1] - 2, 1, 2), Window(16, 0, 4, 24))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part comes from a file of another test."""
    monkeypatch.setattr(tiff_windows, "SEGMENTS", SegmentCache(2**20))


def test_a_part_is_the_whole_cut(tmp_path: Path) -> None:
    """Every kind of TIFF that is read: types, bands, planes, tiles, strips, compressions, palettes, few bits."""
    count = 0
    for number, case in enumerate(tiff_cases()):
        if case.image is None or "orientation" in case.name or (number % 4 and number < 200):
            continue
        path = tmp_path / f"{number}.tif"
        path.write_bytes(case.content)
        count += 1
        whole = read_stored_image(path).bands
        for window in PARTS:
            assert np.array_equal(read_stored_image(path, window).bands, window.of(whole)), case.name
            if case.mask is not None:
                assert np.array_equal(read_stored_mask(path, window).values, window.of(read_stored_mask(path).values))
    assert count > 60


@pytest.mark.parametrize("nodata", [0, 7])
def test_nodata_of_a_part(tmp_path: Path, nodata: int) -> None:
    samples = noise(*SIDE, 3, top=9)
    samples[4:12, 4:12] = nodata
    tags = [(42113, "s", 0, f"{nodata}", True)]
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extratags=tags, tile=(16, 16), compression="zlib")
    whole = read_stored_image(tmp_path / "a.tif").bands
    part = read_stored_image(tmp_path / "a.tif", PARTS[1]).bands
    assert np.array_equal(np.ma.getmaskarray(part), PARTS[1].of(np.ma.getmaskarray(whole)))


def test_only_the_tiles_of_the_part_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random values do not compress, so the bytes that are read show what is decoded."""
    pixels, read, real = noise(640, 640, 3), list[int](), os.pread
    monkeypatch.setattr(os, "pread", lambda *given: read.append(given[1]) or real(*given))
    for name, options, most in (
        ("tiles", {"tile": (64, 64), "compression": "zlib"}, 4 * 64 * 64 * 3),
        ("strips", {"rowsperstrip": 8, "compression": "zlib"}, 9 * 8 * 640 * 3),
        ("rows", {}, 64 * 640 * 3),
    ):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", **options)
        opened, window = open_tiff(path), Window(96, 320, 64, 64)
        read.clear()
        assert np.array_equal(opened.read(window).samples, window.of(pixels))
        assert 0 < sum(read) < 1.01 * most + 1000, name


def test_what_cannot_be_read_by_parts_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(64, 64)
    monkeypatch.setattr(tiff_windows, "MAX_SEGMENT_BYTES", 1000)
    tifffile.imwrite(tmp_path / "one.tif", pixels, rowsperstrip=64, compression="zlib")
    with pytest.raises(InputError, match=r"one\.tif: it is compressed in parts of 0 MiB; write it in tiles"):
        read_stored_image(tmp_path / "one.tif", PARTS[0])
    tifffile.imwrite(tmp_path / "turned.tif", pixels, extratags=[(274, "H", 1, 3, True)])
    with pytest.raises(InputError, match="save it upright"):
        read_stored_image(tmp_path / "turned.tif", PARTS[0])
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match="only TIFF files are read by parts"):
        read_stored_image(tmp_path / "a.png", PARTS[0])
    tifffile.imwrite(tmp_path / "cut.tif", noise(64, 64), rowsperstrip=8)
    with (tmp_path / "cut.tif").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(InputError, match=r"cut\.tif: cannot be read as an image \(the file is cut short"):
        read_stored_image(tmp_path / "cut.tif", PARTS[0])


def test_the_cache_drops_what_was_used_longest_ago() -> None:
    cache = SegmentCache(250)
    for key in ("a", "b"):
        cache.put((key,), np.zeros(100, np.uint8))
    assert cache.get(("a",)) is not None
    cache.put(("c",), np.zeros(100, np.uint8))
    assert cache.get(("b",)) is None
    assert cache.get(("a",)) is not None
    assert cache.kept == 200


@settings(deadline=None)
@given(length=st.integers(1, 5000), side=st.integers(1, 600), share=st.floats(0, 0.5))
def test_windows_cover_a_length(length: int, side: int, share: float) -> None:
    overlap = int(share * side)
    starts = spread(length, side, overlap)
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    if length <= side:
        assert starts == [0]
        return
    assert starts[-1] == length - side
    assert all(after - before <= side - overlap for before, after in pairwise(starts))
    assert (len(starts) - 2) * (side - overlap) + side < length, "one fewer would do"


def test_a_grid_covers_a_part() -> None:
    area = Window(10, 20, 70, 33)
    seen = np.zeros((100, 100), int)
    for window in grid(area, (32, 40)):
        window.of(seen)[:] += 1
    assert area.of(seen).min() >= 1
    assert seen.sum() == area.of(seen).sum()
