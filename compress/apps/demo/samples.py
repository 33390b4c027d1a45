"""Images that the demo brings along, for a model whose images no camera takes: as the model reads them, and as a
picture of three of their bands."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from compress.data.decoding import decode_image
from compress.data.resizing import at_resolution
from compress.data.shown_bands import picture, shown_channels
from compress.prediction.card import ModelCard

MAX_SIDE = 960  # pixels of the longer side of a picture on the page
LIST, FOLDER = "samples.json", "samples"


@dataclass(frozen=True)
class Sample:
    """An image of the demo.

    Attributes:
        name: What the page calls it.
        pixels: The bytes h,w,bands that the model reads.
        picture: A PNG file of three of its bands.
    """

    name: str
    pixels: bytes
    picture: bytes


def read_samples(images: Sequence[Path], card: ModelCard, show_bands: str | None) -> list[Sample]:
    """Reads the images that a demo brings along.

    Args:
        images: The files.
        card: Says how they are fed.
        show_bands: The value of `--show-bands`; None for the visible bands.

    Returns:
        The images.

    Raises:
        InputError: A file cannot be read or has too few bands, or there are no such bands to show.
    """
    shown = shown_channels(card.pixels, show_bands)
    found = []
    for path in images:
        image = decode_image(path, card.pixels)
        fed = at_resolution(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None], card.resolution)
        pixels = fed[0].permute(1, 2, 0).mul(255).round().to(torch.uint8).contiguous().numpy()
        small = Image.fromarray(picture(image, shown))
        small.thumbnail((MAX_SIDE, MAX_SIDE))
        buffer = io.BytesIO()
        small.save(buffer, format="PNG")
        found.append(Sample(path.name, pixels.tobytes(), buffer.getvalue()))
    return found


def write_samples(samples: Sequence[Sample], folder: Path) -> None:
    """Writes the images of a demo, and the list that the page reads.

    Args:
        samples: The images.
        folder: The folder of the page.
    """
    (folder / FOLDER).mkdir()
    listed = []
    for i, sample in enumerate(samples):
        names = {"pixels": f"{FOLDER}/{i}.bin", "picture": f"{FOLDER}/{i}.png"}
        (folder / names["pixels"]).write_bytes(sample.pixels)
        (folder / names["picture"]).write_bytes(sample.picture)
        listed.append({"name": sample.name, **names})
    (folder / LIST).write_text(json.dumps(listed, indent=1))
