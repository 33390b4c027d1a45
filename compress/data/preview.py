"""A picture of some images and their masks, to see whether they fit."""

import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from compress.data.dataset import DataSet, Pair, read_pair
from compress.data.labels import Colour
from compress.data.shown_bands import Shown, picture, shown_channels
from compress.data.summary import printable
from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

COLUMNS = 4  # pairs of each split
OPACITY = 0.6  # of a class's colour over the image
VOID_COLOUR = (0, 0, 0)
MAX_LEGEND = 24  # classes


def require_png(path: Path) -> None:
    """Checks the name of a picture.

    Args:
        path: The file to write.

    Raises:
        InputError: The name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"--preview {path}: give the name of a PNG file, such as preview.png")


def draw_preview(data: DataSet, path: Path, doubtful: Collection[Path] = (), show_bands: str | None = None) -> None:
    """Draws pairs that are spread over both splits: the image, and the image with its classes in colour.

    Args:
        data: The data set.
        path: The PNG file to write.
        doubtful: Images to look at; they come first.
        show_bands: The value of `--show-bands`; None for the visible bands.

    Raises:
        InputError: The file cannot be written, or there are no such bands.
    """
    channels = shown_channels(data.pixels, show_bands)
    splits = {"training": data.train, "validation": data.val}
    shown = {split: _chosen(pairs, set(doubtful)) for split, pairs in splits.items()}
    columns = max(map(len, shown.values()))
    figure = Figure(figsize=(3.2 * columns, 11), dpi=100, layout="constrained")
    grid = figure.subplots(4, columns, squeeze=False)
    used: set[int] = set()
    for i, (split, pairs) in enumerate(shown.items()):
        for column in range(columns):
            upper, lower = grid[2 * i][column], grid[2 * i + 1][column]
            for axes in (upper, lower):
                axes.set_xticks([])
                axes.set_yticks([])
                axes.set_frame_on(False)
            if column < len(pairs):
                used |= _draw(data, pairs[column], split, channels, upper, lower)
    handles = [_patch(data.colours[i], data.classes[i]) for i in sorted(used)[:MAX_LEGEND]]
    handles.append(_patch(VOID_COLOUR, "void"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise InputError(f"--preview {path}: cannot be written ({error})") from error


def overlay(image: np.ndarray, mask: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """An image with the colours of its classes.

    Args:
        image: H,W,3 bytes.
        mask: H,W bytes.
        colours: 256,3 bytes: the colour of each value of the mask.

    Returns:
        H,W,3 bytes.
    """
    mixed = (1 - OPACITY) * image + OPACITY * colours[mask]
    return np.asarray(mixed.round(), np.uint8)


def _patch(colour: Colour, label: str) -> Patch:
    red, green, blue = colour
    return Patch(color=(red / 255, green / 255, blue / 255), label=label)


def _chosen(pairs: tuple[Pair, ...], doubtful: set[Path]) -> list[Pair]:
    """Doubtful pairs, then pairs that are spread over the split."""
    first = [pair for pair in pairs if pair.image in doubtful]
    places = np.unique(np.linspace(0, len(pairs) - 1, COLUMNS).round().astype(int))
    return list(dict.fromkeys([*first, *(pairs[i] for i in places)]))[:COLUMNS]


def _draw(data: DataSet, pair: Pair, split: str, shown: Shown, upper: Axes, lower: Axes) -> set[int]:
    """Draws a pair and returns its classes."""
    image, mask = read_pair(pair, data)
    image = picture(image, shown)
    colours = np.tile(np.array(VOID_COLOUR, np.uint8), (256, 1))
    colours[: len(data.colours)] = data.colours
    upper.imshow(image)
    lower.imshow(overlay(image, mask, colours), interpolation="nearest")
    upper.set_title(f"{split}: {printable(pair.image.name)}", fontsize=9, parse_math=False)
    return set(np.unique(mask).tolist()) - {data.ignore}
