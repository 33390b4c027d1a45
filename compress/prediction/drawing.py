"""Masks and overlays as pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from compress.prediction.card import ModelCard

OPACITY = 0.55  # of the class colours over the picture
LEGEND_ROW = 0.045  # of the picture's height
MIN_ROW_PIXELS, MAX_ROW_PIXELS = 14, 40
MIN_LEGEND_SHARE = 0.001  # a class with less of the picture stands in no legend


def class_shares(class_map: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Counts the pixels of each class.

    Args:
        class_map: class indices H,W.
        classes: class names in the order of the indices.

    Returns:
        The share of the pixels, a fraction, by class name; classes that are not there have 0.
    """
    counts = np.bincount(class_map.ravel(), minlength=len(classes))[: len(classes)]
    return {name: float(count / class_map.size) for name, count in zip(classes, counts, strict=True)}


def mask_picture(class_map: np.ndarray, card: ModelCard) -> Image.Image:
    """Makes a mask that shows its colours and holds its indices.

    Args:
        class_map: class indices H,W.
        card: has the colours.

    Returns:
        A palette image: its values are the class indices, its palette the class colours.
    """
    picture = Image.fromarray(class_map, mode="P")
    picture.putpalette(bytes(part for colour in card.colours for part in colour))
    return picture


def overlay_picture(image: np.ndarray, class_map: np.ndarray, card: ModelCard) -> Image.Image:
    """Lays the class colours over a picture, with a legend in the upper left corner.

    Args:
        image: H,W,3 bytes, RGB.
        class_map: class indices H,W; what is no class, such as void, gets no colour.
        card: has names and colours.

    Returns:
        The picture, H,W.
    """
    known = class_map < len(card.colours)
    colours = np.array(card.colours, np.float32)[np.where(known, class_map, 0)]
    mixed = image.astype(np.float32) * (1 - OPACITY) + colours * OPACITY
    picture = Image.fromarray(np.where(known[..., None], np.round(mixed), image).astype(np.uint8))
    shares = class_shares(class_map[known], card.classes) if known.any() else {}
    shown = [(name, share) for name, share in shares.items() if share >= MIN_LEGEND_SHARE]
    _draw_legend(picture, sorted(shown, key=lambda one: -one[1]), dict(zip(card.classes, card.colours, strict=True)))
    return picture


def _draw_legend(
    picture: Image.Image, rows: Sequence[tuple[str, float]], colours: dict[str, tuple[int, int, int]]
) -> None:
    """A row for each class: its colour, its name and its share, as many rows as the picture has room for."""
    row = int(np.clip(picture.height * LEGEND_ROW, MIN_ROW_PIXELS, MAX_ROW_PIXELS))
    rows = rows[: max(1, (picture.height - row) // row)]
    font = ImageFont.load_default(size=row * 0.72)
    draw = ImageDraw.Draw(picture, "RGBA")
    texts = [f"{name}  {share:.1%}" for name, share in rows]
    width = max((draw.textlength(text, font) for text in texts), default=0.0) + 2 * row
    draw.rectangle((0, 0, width, row * len(rows) + row // 3), fill=(0, 0, 0, 150))
    for number, ((name, _), text) in enumerate(zip(rows, texts, strict=True)):
        top = number * row + row // 6
        draw.rectangle((row // 4, top + row // 6, row, top + row - row // 6), fill=(*colours[name], 255))
        draw.text((1.4 * row, top), text, fill=(255, 255, 255, 255), font=font)
