"""The model card: the model.json that says how an app feeds a .tflite file and reads its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.data.pixels import Pixels
from compress.files.records import read_json
from search_spaces.errors import InputError
from search_spaces.ops import RGB_BANDS

CARD_NAME, MODEL_NAME = "model.json", "model.tflite"
REMEDY = "copy the model.json that python -m compress.export writes beside the model"


@dataclass(frozen=True)
class ModelCard:
    """What an app needs to know of a model.

    Attributes:
        resolution: height and width of the input, in pixels.
        pixels: how the bands of an image become the three bytes of a pixel.
        classes: class names in the order of the indices.
        colours: a colour (red, green, blue) for each class.
        tile: height and width of the part of a scene that the model takes at a time, in pixels of the scene.
        content: the whole JSON object.
    """

    resolution: tuple[int, int]
    pixels: Pixels
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    tile: tuple[int, int]
    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.classes or len(self.classes) != len(self.colours):
            raise ValueError(f"{len(self.classes)} classes and {len(self.colours)} colours")
        for what, size in (("input", self.resolution), ("tile", self.tile)):
            if min(size) < 1:
                raise ValueError(f"the {what} is {size[0]}x{size[1]} pixels")
        if any(not 0 <= part <= 255 for colour in self.colours for part in colour):
            raise ValueError("a colour is not three numbers from 0 to 255")


def read_card(path: Path) -> ModelCard:
    """Reads a model card.

    Args:
        path: the model.json.

    Returns:
        The card.

    Raises:
        InputError: the file is missing or is no model card.
    """
    content = read_json(path, REMEDY)
    try:
        _, height, width, _ = content["input"]["shape"]
        colours = tuple((int(red), int(green), int(blue)) for red, green, blue in content["colours"])
        classes = tuple(str(name) for name in content["classes"])
        pixels = Pixels.from_dict(content["input"]["bands"])
        high, wide = content["input"].get("scene_tile", (height, width))  # cards of older versions have none
        return ModelCard((int(height), int(width)), pixels, classes, colours, (int(high), int(wide)), content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(f"{path}: not a model card ({error}); {REMEDY}") from error


def require_rgb(card: ModelCard, file: Path, what: str) -> None:
    """Checks that a model takes pictures of a camera.

    Args:
        card: The model's card.
        file: The model or its run folder, for the message.
        what: What gives such pictures, for the message.

    Raises:
        InputError: The model takes images of other bands.
    """
    bands = len(card.pixels.bands)
    if bands != RGB_BANDS:
        raise InputError(
            f"{file}: {what} gives pictures of {RGB_BANDS} bands, this model takes {bands}; use compress.predict, "
            "compress.demo --images, or feed model.uint8.tflite yourself as model.json says"
        )


def find_model(path: Path) -> tuple[Path, Path]:
    """Finds the model and the card that a user names.

    Args:
        path: a run folder, or a .tflite file that has its model.json beside it.

    Returns:
        The paths of the .tflite file and of its card.

    Raises:
        InputError: there is no such file or folder, or the run is not exported.
    """
    if path.is_dir():
        model = path / MODEL_NAME
        if not model.is_file():
            raise InputError(f"{model} is missing; run python -m compress.export {path} first")
        return model, path / CARD_NAME
    if path.suffix != ".tflite":
        raise InputError(f"{path}: neither a run folder nor a .tflite file; name one of them")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path")
    return path, path.with_name(CARD_NAME)
