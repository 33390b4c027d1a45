"""`classes.txt`: the names, colours and values of the classes.

One line for each value of a mask, from 0 on: a name, and optionally a colour as three numbers 0..255.

    road 128 64 128
    traffic light 250 170 30
    void 0 0 0

Lines named `void` are ignored pixels and no class. The colours decode masks of several channels and masks with a
palette. Where every colour is a shade of grey, masks of one channel hold these shades.

Files of other programs are read too: see docs/data.md for the styles.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.data.labels import IGNORE, VOID, Colour, Labels, default_colours
from search_spaces.errors import InputError

EXAMPLE = "write one class a line, such as 'road 128 64 128'"
SEPARATORS = (",", ";", "\t")  # of tables; without one of them, words are separated by spaces
NAME_COLUMNS = ("name", "class", "label", "class_name", "classname", "category")
COLOUR_COLUMNS = (("r", "g", "b"), ("red", "green", "blue"))
HEX_COLUMNS = ("hex", "color", "colour")
NUMBER_COLUMNS = ("id", "index", "value", "number", "class_id", "label_id", "pixel value")
HEX = re.compile(r"#[0-9a-fA-F]{6}")
STRANGE_NAME = re.compile(  # a colour in a style that is not read, such as road:128,64,128 or road 0.5 0.25 0.5
    r"\d+\s*,\s*\d+\s*,\s*\d+|#[0-9a-fA-F]{6}\b|(\s\d*\.\d+){3}$|^\d+\s+\d+\s+\d+$"
)
NUMBER_AND_NAME = re.compile(r"(\d{1,3})[:.)]?\s+(.*[^\W\d_].*)")
CVAT = re.compile(r"(?P<name>[^:]*):(?P<colour>\d+,\d+,\d+)?:[^:]*:[^:]*")


@dataclass(frozen=True)
class ClassLine:
    """A line of the file.

    Attributes:
        name: The name of the class, or VOID.
        colour: The colour, or None.
        value: The value in masks of one channel where the line gives it, or None.
    """

    name: str
    colour: Colour | None = None
    value: int | None = None


def read_classes(path: Path) -> Labels:
    """Reads a classes.txt.

    Args:
        path: The file.

    Returns:
        The classes with their colours and the values in masks.

    Raises:
        InputError: The file cannot be read, or a line has no meaning. The message names the file and the line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); write one class a line, as UTF-8 text") from error
    rows = [line.strip() for line in text.splitlines() if line.strip()]
    if rows and rows[0][0] in "{[<":
        raise InputError(f"{path}: this is no list of classes but JSON or XML; {EXAMPLE}")
    lines = _parse(rows, path)
    names = tuple(line.name for line in lines if line.name != VOID)
    for name in names:
        if STRANGE_NAME.search(name):
            raise InputError(f"{path}: {name}: this is no name with a colour; {EXAMPLE}")
    if names and names[0].lower() in NAME_COLUMNS:
        raise InputError(f"{path}: {names[0]} looks like the header of a table; remove the first line")
    if len(names) < 2 or len(lines) > IGNORE:
        raise InputError(f"{path}: {len(names)} classes; give 2 to {IGNORE} names, one a line")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: {_repeated(names)} is there twice; give every class a name of its own")
    return _labels(lines, names, path)


def _labels(lines: Sequence[ClassLine], names: tuple[str, ...], path: Path) -> Labels:
    """Labels of lines. Raises InputError for colours or values that are not one for each class."""
    numbers = [i if line.value is None else line.value for i, line in enumerate(lines)]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{path}: value {_repeated(numbers)} is there twice; give every class a value of its own")
    values = tuple(number for number, line in zip(numbers, lines, strict=True) if line.name != VOID)
    void = tuple(number for number, line in zip(numbers, lines, strict=True) if line.name == VOID)
    void += (IGNORE,) if IGNORE not in numbers else ()
    coloured = [(line.name, line.colour) for line in lines if line.colour is not None]
    colours = tuple(colour for name, colour in coloured if name != VOID)
    if not colours:
        return Labels(names, default_colours(len(names)), values, void)
    if len(colours) < len(names):
        raise InputError(f"{path}: {len(colours)} of {len(names)} classes have colours; give all of them one, or none")
    painted = [colour for _, colour in dict.fromkeys(coloured)]
    if len(set(painted)) < len(painted):
        raise InputError(f"{path}: colour {_repeated(painted)} is there twice; give every class a colour of its own")
    classes = {name: i for i, name in enumerate(names)}
    paint = tuple((colour, classes.get(name, IGNORE)) for name, colour in coloured)
    if all(len(set(colour)) == 1 for colour in painted):
        values = tuple(colour[0] for colour in colours)
        void = tuple({*(c[0] for name, c in coloured if name == VOID), IGNORE} - set(values))
    return Labels(names, colours, values, void, paint)


def _parse(rows: Sequence[str], path: Path) -> list[ClassLine]:
    """The lines, in whichever style the file has. Raises InputError for a line without a meaning."""
    listed = [row for row in rows if not (row.startswith("#") and not HEX.match(row))]  # without comments
    if listed and all(CVAT.fullmatch(row) for row in listed):
        return [_cvat_line(row, path) for row in listed]
    for separator in SEPARATORS:
        cells = [[cell.strip().strip('"') for cell in row.split(separator)] for row in listed]
        if len({len(row) for row in cells}) == 1 and len(cells[0]) > 1:
            table = _table(cells, path)
            if table is not None:
                return table
    return _numbered([_words(row.split(), path) for row in listed])


def _cvat_line(row: str, path: Path) -> ClassLine:
    """A line of CVAT's labelmap.txt: `name:red,green,blue:parts:actions`."""
    name, colour, *_ = row.split(":")
    return ClassLine(name, _colour(colour.split(","), row, path) if colour else None)


def _table(cells: list[list[str]], path: Path) -> list[ClassLine] | None:
    """The lines of a table, with a header or without; None where columns do not look like a table of classes."""
    header = [cell.lower() for cell in cells[0]]
    if any(name in header for name in NAME_COLUMNS):
        return [_by_header(header, row, path) for row in cells[1:]]
    rows = [_words(row, path) for row in cells]
    return _numbered(rows) if all(row.colour for row in rows) or all(row[0].isdecimal() for row in cells) else None


def _by_header(header: list[str], row: list[str], path: Path) -> ClassLine:
    cells = dict(zip(header, row, strict=True))
    name = next(cells[column] for column in NAME_COLUMNS if column in cells)
    colour = None
    for columns in COLOUR_COLUMNS:
        if all(column in cells for column in columns):
            colour = _colour([cells[column] for column in columns], " ".join(row), path)
    hexes = [cells[column] for column in HEX_COLUMNS if HEX.fullmatch(cells.get(column, ""))]
    colour = _hex(hexes[0]) if hexes else colour
    number = next((cells[column] for column in NUMBER_COLUMNS if cells.get(column, "").isdecimal()), None)
    return ClassLine(name, colour, None if number is None else _value(number, " ".join(row), path))


def _words(words: list[str], path: Path) -> ClassLine:
    """Name and colour of a line. The colour is #rrggbb or three numbers, at its end or before the name."""
    if len(words) > 1 and HEX.fullmatch(words[-1]):
        return ClassLine(" ".join(words[:-1]), _hex(words[-1]))
    if len(words) > 3 and all(word.isdecimal() for word in words[-3:]):
        return ClassLine(" ".join(words[:-3]), _colour(words[-3:], " ".join(words), path))
    if len(words) > 4 and all(word.isdecimal() for word in words[:4]):
        return ClassLine(" ".join((words[0], *words[4:])), _colour(words[1:4], " ".join(words), path))
    if len(words) > 3 and all(word.isdecimal() for word in words[:3]):
        return ClassLine(" ".join(words[3:]), _colour(words[:3], " ".join(words), path))
    return ClassLine(" ".join(words))


def _numbered(lines: list[ClassLine]) -> list[ClassLine]:
    """Takes a number before each name as the class's value, where all lines have one and no two are the same."""
    parts = [NUMBER_AND_NAME.fullmatch(line.name) for line in lines]
    numbers = [int(part[1]) for part in parts if part]
    if len(numbers) < len(lines) or len(set(numbers)) < len(numbers) or max(numbers, default=0) > IGNORE:
        return lines
    return [ClassLine(part[2], line.colour, int(part[1])) for part, line in zip(parts, lines, strict=True) if part]


def _value(word: str, row: str, path: Path) -> int:
    if int(word) > IGNORE:
        raise InputError(f"{path}: {row}: a value is a number from 0 to {IGNORE}")
    return int(word)


def _hex(word: str) -> Colour:
    return int(word[1:3], 16), int(word[3:5], 16), int(word[5:7], 16)


def _colour(words: Sequence[str], row: str, path: Path) -> Colour:
    if len(words) != 3 or not all(word.isdecimal() and int(word) <= 255 for word in words):
        raise InputError(f"{path}: {row}: a colour is three numbers from 0 to 255")
    red, green, blue = map(int, words)
    return red, green, blue


def _repeated(values: Sequence[object]) -> object:
    return next(value for value in values if values.count(value) > 1)
