"""Classes of a data set, and how a mask becomes class indices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from compress.data.formats import StoredMask
from search_spaces.errors import InputError

IGNORE = 255  # the class index of void pixels
VOID = "void"
PALETTE_STEP = 67  # colours of classes nobody gave colours: steps round the colour wheel

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Labels:
    """The classes of a data set and what stands for them in its masks.

    Attributes:
        names: Names in class order.
        colours: Colours in class order, for masks that people look at.
        values: The value of each class in a mask of one channel.
        void: Values of a mask of one channel that are ignored.
        paint: The colours in masks of several channels, each with its class or IGNORE. Empty where nobody gave any.
        void_colours: More colours that are ignored.
        indexed: Masks of one channel hold indices by definition. A palette without any colour of `paint` is only for
            display then.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    values: tuple[int, ...]
    void: tuple[int, ...]
    paint: tuple[tuple[Colour, int], ...] = ()
    void_colours: tuple[Colour, ...] = field(default=(), repr=False)  # fingerprints of data sets hash the repr
    indexed: bool = field(default=False, repr=False)

    def decode(self, stored: StoredMask, path: Path) -> np.ndarray:
        """Class indices of a mask file.

        A palette is applied where classes have colours. Values of fewer than 8 bits are shades where classes are
        shades of grey. Pixels without data are void.

        Args:
            stored: The mask as the file stores it.
            path: The file, for messages.

        Returns:
            H,W class indices, uint8, IGNORE for void.

        Raises:
            InputError: A value or colour is no class, or values and palette contradict each other.
        """
        values, nodata = stored.values, stored.nodata
        if nodata is not None:
            self._require_no_class(values[nodata], path)
            if nodata.all():
                return np.full(nodata.shape, IGNORE, np.uint8)
            values = values.copy()
            values[nodata] = values[~nodata][0]  # any legal one; the pixels become void below
        if stored.white_is_zero and self._are_shades:
            raise InputError(f"{path}: zero is white, and classes.txt has shades; save the mask with zero as black")
        if stored.palette is not None:
            found = self._of_palette(values, stored.palette, path)
        else:
            found = self.class_map(self._scaled(values, stored.bits), path)
        return found if nodata is None else np.where(nodata, np.uint8(IGNORE), found)

    def class_map(self, mask: np.ndarray, path: Path) -> np.ndarray:
        """Class indices of values or colours.

        Args:
            mask: H,W values or H,W,3 colours.
            path: The file they are from, for messages.

        Returns:
            H,W class indices, uint8, IGNORE for void.

        Raises:
            InputError: A value or colour is no class.
        """
        if mask.ndim == 2:
            if mask.dtype != np.uint8:
                whole = (mask >= 0) & (mask <= IGNORE) & (mask == np.floor(mask))
                if not whole.all():
                    raise self._unknown(mask[~whole], path)
            found = self._class_of_value[mask.astype(np.uint8, copy=False)]
        elif not self.paint:
            raise InputError(
                f"{path}: a mask has one channel of class indices, this one has shape {mask.shape}; "
                "if it holds colours, give them in classes.txt, such as 'road 128 64 128'"
            )
        elif mask.dtype != np.uint8:
            raise InputError(f"{path}: a mask of colours has 8 bits a channel, this one is {mask.dtype}")
        else:
            found = self._class_of_colour[_as_number(mask)]
        if not found.all():
            raise self._unknown(mask[found == 0], path)
        return (found - 1).astype(np.uint8)

    def _of_palette(self, indices: np.ndarray, palette: np.ndarray, path: Path) -> np.ndarray:
        """Class indices of palette indices. See docs/data.md for the rule."""
        used = np.flatnonzero(np.bincount(indices.ravel()))
        shown = np.full((len(used), 3), -1)  # an index that the palette lacks has no colour
        shown[used < len(palette)] = palette[used[used < len(palette)]]
        if not self.paint or (shown == used[:, None]).all():
            self._require_one_meaning(used, shown, path)
            return self.class_map(indices, path)
        classes = self._class_of_paint
        by_colour = np.array([classes.get((r, g, b), -1) + 1 for r, g, b in shown.tolist()])
        known = by_colour > 0
        if self.indexed and not known.any():
            return self.class_map(indices, path)
        by_index = np.array([self._class_of_value[index] if index <= IGNORE else 0 for index in used])
        void = ~known & (by_index == IGNORE + 1) & (by_colour[known] == by_index[known]).all()
        by_colour[void] = IGNORE + 1
        if not by_colour.all():
            at = int(np.flatnonzero(by_colour == 0)[0])
            colour = f"as colour {' '.join(map(str, shown[at]))}, which is not in classes.txt"
            raise InputError(
                f"{path}: its palette shows index {used[at]} {colour if shown[at, 0] >= 0 else 'without a colour'}; "
                "add the colour, or remove all colours from classes.txt if indices are meant"
            )
        table = np.zeros(used[-1] + 1, np.uint8)
        table[used] = by_colour - 1
        return np.asarray(table[indices])

    def _require_one_meaning(self, used: np.ndarray, shown: np.ndarray, path: Path) -> None:
        """Raises InputError for a palette of shades that are classes too, but others than the indices are: some
        programs store a grey mask so."""
        shades = shown[:, 0]
        if (shown == shades[:, None]).all() and (shades != used).any() and np.isin(shades, self.values).all():
            at = int(np.flatnonzero(shades != used)[0])
            raise InputError(
                f"{path}: its palette shows index {used[at]} as the shade {shades[at]}, and both are classes; "
                "save the mask as grey, without a palette"
            )

    def _scaled(self, values: np.ndarray, bits: int) -> np.ndarray:
        """Values of few bits as shades 0 to 255, where only these are classes."""
        if bits >= 8 or values.ndim > 2 or not self._are_shades or self._class_of_value[np.unique(values)].all():
            return values
        return np.asarray(values * values.dtype.type(255 // (2**bits - 1)))

    @property
    def _are_shades(self) -> bool:
        return bool(self.paint) and all(len(set(colour)) == 1 for colour, _ in self.paint)

    def _require_no_class(self, nodata: np.ndarray, path: Path) -> None:
        """Raises InputError when the value for nodata is the value of a class."""
        named = np.unique(nodata[np.isin(nodata, self.values)]) if nodata.ndim == 1 else np.empty(0)
        if len(named):
            name = self.names[self.values.index(int(named[0]))]
            raise InputError(
                f"{path}: {named[0]} is its nodata value and also class {name}; remove the nodata value "
                "(gdal_edit.py -unsetnodata), or call the class 'void' in classes.txt"
            )

    def _unknown(self, pixels: np.ndarray, path: Path) -> InputError:
        """`pixels` are those of no class: a list of values or of colours."""
        wrong = np.unique(pixels, axis=0).tolist()
        if pixels.ndim == 2:
            some = ", ".join(" ".join(map(str, colour)) for colour in wrong[:5])
            return InputError(f"{path}: colour {some} ({len(wrong)} in all) is not in classes.txt; add it or repaint")
        some = ", ".join(f"{value:g}" for value in wrong[:5])
        if any(value != np.floor(value) for value in wrong):
            remedy = "labels are whole numbers; resample them with nearest neighbour, not with interpolation"
        else:
            remedy = f"use {_intervals(self.values)}, or {_intervals(self.void)} for void"
        return InputError(f"{path}: class {some} is out of range; {remedy}")

    @cached_property
    def _class_of_value(self) -> np.ndarray:
        """Class + 1 of each value, 0 where there is none."""
        classes = np.zeros(256, np.uint16)
        classes[list(self.void)] = IGNORE + 1
        classes[list(self.values)] = np.arange(len(self.values)) + 1
        return classes

    @property
    def _class_of_paint(self) -> dict[Colour, int]:
        return dict((*((colour, IGNORE) for colour in self.void_colours), *self.paint))

    @cached_property
    def _class_of_colour(self) -> np.ndarray:
        """Class + 1 of each colour as a number of 24 bits, 0 where there is none."""
        classes = np.zeros(1 << 24, np.uint16)
        for (red, green, blue), index in self._class_of_paint.items():
            classes[red << 16 | green << 8 | blue] = index + 1
        return classes


def _as_number(colours: np.ndarray) -> np.ndarray:
    """Colours of three bytes (last axis) as numbers of 24 bits."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return np.asarray(red << 16 | green << 8 | blue)


def _intervals(values: Sequence[int]) -> str:
    """`0 to 3, 7` for 0, 1, 2, 3, 7."""
    runs = [[value for _, value in run] for _, run in groupby(enumerate(sorted(values)), lambda at: at[1] - at[0])]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "nothing"


def default_colours(count: int) -> tuple[Colour, ...]:
    """Colours for classes without any.

    Args:
        count: How many classes there are.

    Returns:
        A colour for each class, all different.
    """
    hues = [Image.new("HSV", (1, 1), (i * PALETTE_STEP % 256, 200, 220 - 60 * (i % 2))) for i in range(count)]
    return tuple(tuple(hue.convert("RGB").getpixel((0, 0))) for hue in hues)  # type: ignore[arg-type,misc]
