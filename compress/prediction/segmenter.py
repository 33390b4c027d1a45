"""Runs a .tflite file on single images of any size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from compress.data.resizing import at_resolution
from compress.data.shown_bands import Shown, picture, shown_channels
from compress.evaluation.tflite_file import read_runnable
from compress.latency.timing import load
from compress.prediction.card import ModelCard, find_model, read_card
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Segmenter:
    """A loaded model with its card.

    Attributes:
        card: says how images are fed.
        interpreter: the LiteRT interpreter of the file.
        shown: the channels of an image that a picture shows as red, green and blue.
    """

    card: ModelCard
    interpreter: Any
    shown: Shown = (0, 1, 2)

    def picture(self, image: np.ndarray) -> np.ndarray:
        """The picture of an image that the model takes.

        Args:
            image: H,W,bands bytes.

        Returns:
            H,W,3 bytes, RGB.
        """
        return picture(image, self.shown)

    def class_map(self, image: np.ndarray) -> np.ndarray:
        """Segments an image.

        Args:
            image: H,W,bands bytes, of any size.

        Returns:
            Class indices H,W (uint8), enlarged by nearest neighbour from the size that the model gives.
        """
        small = self.small_class_map(image)
        size = image.shape[:2]
        if small.shape == size:
            return small
        enlarged = F.interpolate(torch.from_numpy(small)[None, None].float(), size, mode="nearest-exact")
        return np.asarray(enlarged[0, 0].to(torch.uint8).numpy())

    def small_class_map(self, image: np.ndarray) -> np.ndarray:
        """Segments an image at the size that the model gives.

        Args:
            image: H,W,bands bytes, of any size.

        Returns:
            Class indices h,w (uint8).
        """
        (reads,), (makes,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        fed = at_resolution(pixels, self.card.resolution)[0].permute(1, 2, 0).contiguous().numpy()
        if reads["dtype"] is not np.float32:  # int8 and uint8 files differ by their zero point alone
            offset = int(reads["quantization"][1])
            fed = np.round(fed * 255).astype(np.int16) + offset
        self.interpreter.set_tensor(reads["index"], fed.astype(reads["dtype"])[None])
        self.interpreter.invoke()
        found = self.interpreter.get_tensor(makes["index"])[0]
        return np.asarray(found.argmax(-1) if found.ndim == 3 else found, np.uint8)


def open_segmenter(path: Path, threads: int = 1, show_bands: str | None = None) -> Segmenter:
    """Loads a model and its card.

    Args:
        path: a run folder, or a .tflite file with its model.json beside it.
        threads: of the LiteRT interpreter.
        show_bands: the value of `--show-bands`; None for the visible bands.

    Returns:
        The model, ready to run.

    Raises:
        InputError: the model or the card is missing or damaged, or the two do not fit each other; or the model has
            no such bands to show.
    """
    model, card_file = find_model(path)
    card = read_card(card_file)
    interpreter = load(read_runnable(model), threads)
    shape = [int(side) for side in interpreter.get_input_details()[0]["shape"]]
    if shape != [1, *card.resolution, len(card.pixels.bands)]:
        raise InputError(f"{card_file} does not fit {model}, which reads {shape}; copy the two from one run")
    return Segmenter(card, interpreter, shown_channels(card.pixels, show_bands))
