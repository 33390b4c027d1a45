"""How a mask becomes class indices, and the `classes.txt` that says so.

One line for each value of a mask, from 0 on: a name, and optionally a colour as three numbers 0..255.

    road 128 64 128
    traffic light 250 170 30
    void 0 0 0

Lines named `void` are ignored pixels and no class. The colours decode masks of several channels; where every
colour is a shade of grey, masks of one channel hold these shades.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from search_spaces.errors import InputError

IGNORE = 255  # the class index of void pixels
VOID = "void"
PALETTE_STEP = 67  # colours of classes nobody gave colours: steps round the colour wheel

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Labels:
    """Names and colours in class order. `values` are the classes' values in a mask of one channel, `void` the values
    to ignore; `paint` gives the colours in masks of several channels, each with its class or IGNORE."""

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    values: tuple[int, ...]
    void: tuple[int, ...]
    paint: tuple[tuple[Colour, int], ...] = ()

    def class_map(self, mask: np.ndarray, path: Path) -> np.ndarray:
        """H,W class indices (uint8, IGNORE for void) of a mask as stored: H,W values or H,W,3 colours.

        Raises InputError, naming the file, for a value or colour that is no class.
        """
        if mask.ndim == 2:
            if mask.dtype != np.uint8:
                whole = (mask >= 0) & (mask <= IGNORE) & (mask == np.floor(mask))
                if not whole.all():
                    raise self._unknown(mask[~whole], path)
            found = self._class_of_value[mask.astype(np.uint8)]
        elif not self.paint:
            raise InputError(
                f"{path}: a mask has one channel of class indices, this one has shape {mask.shape}; "
                "if it holds colours, give them in classes.txt, such as 'road 128 64 128'"
            )
        elif mask.dtype != np.uint8:
            raise InputError(f"{path}: a mask of colours has 8 bits a channel, this one is {mask.dtype}")
        else:
            red, green, blue = (mask[..., channel].astype(np.int32) for channel in range(3))
            found = self._class_of_colour[red << 16 | green << 8 | blue]
        if not found.all():
            raise self._unknown(mask[found == 0], path)
        return (found - 1).astype(np.uint8)

    def _unknown(self, pixels: np.ndarray, path: Path) -> InputError:
        """`pixels` are those of no class: a list of values or of colours."""
        wrong = np.unique(pixels, axis=0).tolist()
        if pixels.ndim == 2:
            some = ", ".join(" ".join(map(str, colour)) for colour in wrong[:5])
            return InputError(f"{path}: colour {some} ({len(wrong)} in all) is not in classes.txt; add it or repaint")
        some = ", ".join(f"{value:g}" for value in wrong[:5])
        legal = f"{_ranges(self.values)}, or {_ranges(self.void)} for void"
        return InputError(f"{path}: class {some} is out of range; use {legal}")

    @cached_property
    def _class_of_value(self) -> np.ndarray:
        """Class + 1 of each value, 0 where there is none."""
        classes = np.zeros(256, np.uint16)
        classes[list(self.void)] = IGNORE + 1
        classes[list(self.values)] = np.arange(len(self.values)) + 1
        return classes

    @cached_property
    def _class_of_colour(self) -> np.ndarray:
        classes = np.zeros(1 << 24, np.uint16)
        for (red, green, blue), index in self.paint:
            classes[red << 16 | green << 8 | blue] = index + 1
        return classes


def _ranges(values: Sequence[int]) -> str:
    """`0 to 3, 7` for 0, 1, 2, 3, 7."""
    runs = [[value for _, value in run] for _, run in groupby(enumerate(sorted(values)), lambda at: at[1] - at[0])]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "nothing"


def numbered(count: int) -> Labels:
    """class0, class1, ... for masks whose classes nobody named."""
    names = tuple(f"class{i}" for i in range(count))
    return Labels(names, default_colours(count), tuple(range(count)), (IGNORE,))


def default_colours(count: int) -> tuple[Colour, ...]:
    """Distinct colours for classes without any."""
    hues = [Image.new("HSV", (1, 1), (i * PALETTE_STEP % 256, 200, 220 - 60 * (i % 2))) for i in range(count)]
    return tuple(tuple(hue.convert("RGB").getpixel((0, 0))) for hue in hues)  # type: ignore[arg-type,misc]


def read_classes(path: Path) -> Labels:
    """The labels a classes.txt describes. Raises InputError that names the file and the line."""
    try:
        lines = [line.split() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); write one class a line, as UTF-8 text") from error
    parsed = [_parse_class(words, path) for words in lines]
    names = tuple(name for name, _ in parsed if name != VOID)
    coloured = [(name, colour) for name, colour in parsed if colour is not None]
    if len(names) < 2 or len(parsed) > IGNORE:
        raise InputError(f"{path}: {len(names)} classes; give 2 to {IGNORE} names, one a line")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: {_twice(names)} is there twice; give every class a name of its own")
    values = tuple(i for i, (name, _) in enumerate(parsed) if name != VOID)
    void = (*(i for i, (name, _) in enumerate(parsed) if name == VOID), IGNORE)
    colours = tuple(colour for name, colour in coloured if name != VOID)
    if not colours:
        return Labels(names, default_colours(len(names)), values, void)
    if len(colours) < len(names):
        raise InputError(f"{path}: {len(colours)} of {len(names)} classes have colours; give all of them one, or none")
    painted = [colour for _, colour in dict.fromkeys(coloured)]
    if len(set(painted)) < len(painted):
        raise InputError(f"{path}: colour {_twice(painted)} is there twice; give every class a colour of its own")
    classes = {name: i for i, name in enumerate(names)}
    paint = tuple((colour, classes.get(name, IGNORE)) for name, colour in coloured)
    if all(len(set(colour)) == 1 for colour in painted):
        values = tuple(colour[0] for colour in colours)
        void = tuple({*(c[0] for name, c in coloured if name == VOID), IGNORE} - set(values))
    return Labels(names, colours, values, void, paint)


def _parse_class(words: list[str], path: Path) -> tuple[str, Colour | None]:
    """Name and colour of a line; three numbers at its end are a colour."""
    if len(words) < 4 or not all(word.isdecimal() for word in words[-3:]):
        return " ".join(words), None
    red, green, blue = map(int, words[-3:])
    if max(red, green, blue) > 255:
        raise InputError(f"{path}: {' '.join(words)}: a colour is three numbers from 0 to 255")
    return " ".join(words[:-3]), (red, green, blue)


def _twice(values: Sequence[object]) -> object:
    return next(value for value in values if values.count(value) > 1)
