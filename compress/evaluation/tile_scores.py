"""The scores that a .tflite file gives to the classes of each pixel of a tile."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress.data.percentiles import choose_bands, find_nodata
from compress.data.pixels import Pixels
from compress.data.resizing import at_resolution
from compress.data.windows import Size, Window
from compress.evaluation.sliding import Scored
from compress.evaluation.tflite_file import as_fed
from compress.latency.timing import load
from compress.tflite.flatbuffer import op_name, read_model
from compress.tflite.variants import with_logits_output


@dataclass
class TileScores:
    """A file that scores tiles of one size.

    Attributes:
        interpreter: The LiteRT interpreter of the file without its ARG_MAX.
        tile: Height and width of a tile, in pixels of the scene.
        times_ms: How long the file took for each tile, in ms.
        empty: How many tiles were passed over, because nothing was measured in them.
    """

    interpreter: Any
    tile: Size
    times_ms: list[float] = field(default_factory=list)
    empty: int = 0

    @property
    def resolution(self) -> Size:
        """Height and width of what the file reads, in pixels."""
        _, height, width, _ = (int(side) for side in self.interpreter.get_input_details()[0]["shape"])
        return height, width

    def score(self, image: np.ndarray) -> np.ndarray:
        """Scores a tile.

        Args:
            image: h,w,bands bytes, at most as large as `tile`. A smaller one is extended by its last rows and columns.

        Returns:
            h,w,classes; a head that is smaller is enlarged by nearest neighbour, as in the mIoU of the run.
        """
        height, width = image.shape[:2]
        missing = (self.tile[0] - height, self.tile[1] - width)
        if any(missing):
            image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        fed = at_resolution(pixels, self.resolution)[0].permute(1, 2, 0).mul(255).round().sub(128)
        (reads,), (makes,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        begun = time.perf_counter()
        self.interpreter.set_tensor(reads["index"], as_fed(fed.to(torch.int8).numpy(), reads["dtype"])[None])
        self.interpreter.invoke()
        scores = np.asarray(self.interpreter.get_tensor(makes["index"])[0])
        self.times_ms.append((time.perf_counter() - begun) * 1e3)
        if scores.shape[:2] != self.tile:
            rows, columns = (
                ((np.arange(side) + 0.5) * have / side).astype(int)
                for side, have in zip(self.tile, scores.shape[:2], strict=True)
            )
            scores = scores[rows[:, None], columns]
        return scores[:height, :width]

    def of_scene(
        self,
        read: Callable[[Window], np.ndarray],
        pixels: Pixels,
        path: Path,
        seen: Callable[[np.ndarray, Window], None] | None = None,
    ) -> Callable[[Window], Scored]:
        """Makes the function that scores a tile of a scene.

        Args:
            read: Reads a part of the scene: h,w,bands as stored.
            pixels: How bands become bytes.
            path: The file, for messages.
            seen: Is called with the bytes h,w,bands of each tile and with its place.

        Returns:
            The function. A tile without a measured pixel is passed over.
        """

        def score(window: Window) -> Scored:
            stored = read(window)
            image = pixels.to_bytes(stored, path)
            if seen is not None:
                seen(image, window)
            void = void_pixels(stored, pixels, path)
            if void is not None and void.all():
                self.empty += 1
                return Scored(None, void)
            return Scored(self.score(image), void)

        return score


def void_pixels(stored: np.ndarray, pixels: Pixels, path: Path) -> np.ndarray | None:
    """Where nothing was measured in any band that the network sees.

    Args:
        stored: h,w,bands as stored.
        pixels: Which bands the network sees.
        path: The file, for messages.

    Returns:
        h,w; None where all was measured.

    Raises:
        InputError: The image has too few bands.
    """
    found = find_nodata(choose_bands(stored, pixels.bands, path))
    return None if found is None else np.asarray(found.all(axis=2))


def open_tile_scores(content: bytes, tile: Size, threads: int = 1) -> TileScores:
    """Loads a file to score tiles.

    Args:
        content: The bytes of a .tflite file that ends in an ARG_MAX or in logits.
        tile: Height and width of a tile, in pixels of the scene.
        threads: Of the LiteRT interpreter.

    Returns:
        The file, ready to run.
    """
    model = read_model(content)
    ends_in_classes = op_name(model, model.subgraphs[0].operators[-1]) == "ARG_MAX"
    return TileScores(load(with_logits_output(content) if ends_in_classes else content, threads), tile)
