"""Scenes are classified tile by tile, and the scores of neighbours are blended."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.data.labels import IGNORE
from compress.data.windows import Window
from compress.evaluation.sliding import MAX_OVERLAP, Scored, Tiling, classify, spans

CLASSES = 4


def scores_of(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (height, width, CLASSES)).astype(np.int8)


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 400), st.integers(4, 90), st.floats(0, MAX_OVERLAP))
def test_weights_sum_to_one(begin: int, length: int, side: int, share: float) -> None:
    total, seen = np.zeros(length), np.zeros(length, int)
    for span in spans(begin, length, side, int(share * side)):
        assert span.begin <= span.first <= span.risen <= span.falls <= span.last <= span.begin + side
        total[span.first - begin : span.last - begin] += span.weights
        seen[span.first - begin : span.last - begin] += 1
    assert np.allclose(total, 1, atol=1e-6)
    assert seen.min() >= 1
    assert seen.max() <= 2


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(8, 40), st.floats(0, MAX_OVERLAP))
def test_a_scene_is_its_tiles(height: int, width: int, high: int, wide: int, share: float) -> None:
    """Where one tile counts alone, its class; where tiles agree, theirs; and every row once."""
    area = Window(7, 3, height, width)
    tiling = Tiling(area, (high, wide), share)
    tiles: dict[Window, np.ndarray] = {}

    def score(window: Window) -> Scored:
        assert area.top <= window.top
        assert window.bottom <= area.bottom
        assert area.left <= window.left
        assert window.right <= area.right
        assert window not in tiles
        tiles[window] = scores_of(len(tiles), window.height, window.width)
        return Scored(tiles[window])

    found = np.concatenate(list(classify(tiling, score, CLASSES)))
    assert found.shape == (height, width)
    assert len(tiles) == len(tiling)
    total = np.zeros((height, width, CLASSES))
    for row in tiling.rows:
        for column in tiling.columns:
            window = tiling.window(row, column)
            part = Window(row.first, column.first, row.last - row.first, column.last - column.first)
            inside = Window(part.top - window.top, part.left - window.left, part.height, part.width)
            weights = row.weights[:, None, None] * column.weights[None, :, None]
            there = Window(part.top - area.top, part.left - area.left, part.height, part.width)
            there.of(total)[:] += inside.of(tiles[window]) * weights
    best = np.sort(total, axis=2)
    clear = best[..., -1] - best[..., -2] > 0.5  # beyond the rounding of sums
    assert (found == total.argmax(2))[clear].all()
    alone = np.isclose(total, np.round(total)).all(2)
    assert (found == total.argmax(2))[alone & clear].all()


def test_where_nothing_was_measured() -> None:
    def score(window: Window) -> Scored:
        void = np.zeros((window.height, window.width), bool)
        void[:, : max(0, 50 - window.left)] = True
        scores = np.zeros((*void.shape, CLASSES), np.int8)
        scores[..., 2] = 1
        return Scored(None if void.all() else scores, void)

    found = np.concatenate(list(classify(Tiling(Window(0, 0, 64, 100), (20, 20)), score, CLASSES)))
    assert (found[:, :50] == IGNORE).all()
    assert (found[:, 50:] == 2).all()


def test_few_rows_are_in_memory() -> None:
    """The rows are yielded while later tiles are not yet asked for."""
    asked: list[int] = []

    def score(window: Window) -> Scored:
        asked.append(window.top)
        return Scored(scores_of(0, window.height, window.width))

    rows = classify(Tiling(Window(0, 0, 200, 40), (20, 20)), score, CLASSES)
    first = next(rows)
    assert max(asked) == 0
    assert len(first) < 20
